// The second user of the header: its functions must be allowed to be in two object files.
#include "rose_ros/mask.hpp"

#include <string>

std::string other_reason(const rose_ros::MaskView & mask, const rose_ros::ImageSize & image)
{
  try {
    rose_ros::check_mask(mask, image);
  } catch (const rose_ros::MaskError & error) {
    return error.what();
  }
  return "";
}
