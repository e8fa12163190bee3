// A planner in C++: hear what is seen, correct one name, see that it holds.
//
// Run it in the namespace of the perception node:
//   planner --ros-args -r __ns:=/rose -p wrong:="red mug" -p right:="paint pot"
#include <cstdint>
#include <memory>
#include <string>

#include "rclcpp/rclcpp.hpp"
#include "rose_ros/mask.hpp"
#include "rose_ros/msg/segment_array.hpp"
#include "rose_ros/srv/refine.hpp"

using rose_ros::msg::SegmentArray;
using rose_ros::srv::Refine;

// Says that what the model calls `wrong` is `right`, and looks for it in later frames.
class Planner : public rclcpp::Node
{
public:
  Planner()
  : Node("planner"),
    wrong_(declare_parameter<std::string>("wrong", "red mug")),
    right_(declare_parameter<std::string>("right", "paint pot")),
    refine_(create_client<Refine>("refine")),
    segments_(create_subscription<SegmentArray>(
        "segments", 5, [this](const SegmentArray & array) {on_segments(array);}))
  {
  }

private:
  void on_segments(const SegmentArray & array)
  {
    for (const auto & segment : array.segments) {
      if (segment.id == target_ && segment.label.text == right_) {
        report(array, segment.mask);
      } else if (segment.label.text == wrong_ && !waiting_ && target_ == 0) {
        correct(array, segment.id);
      }
    }
  }

  void report(const SegmentArray & array, const rose_ros::msg::Mask & message)
  {
    std::uint64_t area = 0, sum_x = 0, sum_y = 0;
    try {
      rose_ros::for_each_span(
        rose_ros::view_of(message), {array.width, array.height},
        [&](std::uint32_t y, std::uint32_t x_begin, std::uint32_t x_end) {
          const std::uint64_t length = x_end - x_begin;
          area += length;
          sum_x += length * (x_begin + x_end - 1) / 2;
          sum_y += length * y;
        });
    } catch (const rose_ros::MaskError & error) {
      RCLCPP_WARN(get_logger(), "a mask is malformed: %s", error.what());
      return;
    }
    if (area != 0) {
      RCLCPP_INFO(
        get_logger(), "%s: %lu px around (%lu, %lu)", right_.c_str(),
        static_cast<unsigned long>(area), static_cast<unsigned long>(sum_x / area),
        static_cast<unsigned long>(sum_y / area));
    }
  }

  void correct(const SegmentArray & array, std::uint32_t segment_id)
  {
    if (!refine_->service_is_ready()) {
      return;  // the next frame is another chance
    }
    auto request = std::make_shared<Refine::Request>();
    request->text = "that is a " + right_;
    request->segment_ids = {segment_id};
    request->scope = Refine::Request::TRACK;
    // Which frame, and which life of the ids, this speaks of.
    request->stamp = array.header.stamp;
    request->session_id = array.session_id;
    waiting_ = true;
    refine_->async_send_request(
      request, [this](rclcpp::Client<Refine>::SharedFuture future) {on_reply(*future.get());});
  }

  void on_reply(const Refine::Response & reply)
  {
    waiting_ = false;
    if (reply.status == Refine::Response::OK || reply.status == Refine::Response::NO_CHANGE) {
      target_ = reply.segments.at(0).id;
    } else {
      RCLCPP_WARN(get_logger(), "not corrected: %s", reply.message.c_str());
    }
  }

  const std::string wrong_, right_;
  std::uint32_t target_ = 0;  // id of the segment that was corrected; ids start at 1
  bool waiting_ = false;
  rclcpp::Client<Refine>::SharedPtr refine_;
  rclcpp::Subscription<SegmentArray>::SharedPtr segments_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<Planner>());
  rclcpp::shutdown();
  return 0;
}
