"""Recordings (rosbag2, MCAP) in and out, without ROS."""
