// Reads masks from stdin, one on each line:
//   image_width image_height x y width height number_of_runs run run ...
// Writes for each "ok AREA BOX IMAGE", pixels as 0 and 1 ("-" for none), or "refused REASON".
#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "rose_ros/mask.hpp"

// A second translation unit includes the header too.
std::string other_reason(const rose_ros::MaskView & mask, const rose_ros::ImageSize & image);

namespace
{

// Has the fields of rose_ros/msg/Mask as rosidl generates them.
struct MaskMessage
{
  struct
  {
    std::uint32_t x_offset, y_offset, height, width;
    bool do_rectify;
  } roi;
  std::vector<std::uint32_t> runs;
};

std::string pixels(const std::vector<std::uint8_t> & bytes)
{
  std::string text;
  for (const auto byte : bytes) {
    text += byte == 0 ? '0' : byte == 1 ? '1' : '?';
  }
  return text.empty() ? "-" : text;
}

std::string decode(const MaskMessage & message, const rose_ros::ImageSize & size)
{
  const auto mask = rose_ros::view_of(message);
  const auto box = rose_ros::decode_box(mask, size);
  const auto image = rose_ros::decode_image(mask, size);
  const auto bits = rose_ros::decode_bits(mask, size);
  if (box != std::vector<std::uint8_t>(bits.begin(), bits.end())) {
    return "bits and bytes differ";
  }
  std::vector<std::uint8_t> painted(image.size(), 0);
  std::uint64_t covered = 0, last = 0;
  rose_ros::for_each_span(
    mask, size, [&](std::uint32_t y, std::uint32_t x_begin, std::uint32_t x_end) {
      const auto start = std::uint64_t{y} * size.width + x_begin;
      if (x_begin >= x_end || start < last) {
        throw std::logic_error("spans out of order");
      }
      last = start + (x_end - x_begin);
      covered += x_end - x_begin;
      for (auto x = x_begin; x < x_end; ++x) {
        painted.at(std::size_t{y} * size.width + x) += 1;
      }
    });
  if (painted != image || covered != rose_ros::area_of(mask, size)) {
    return "spans and bytes differ";
  }
  return "ok " + std::to_string(covered) + " " + pixels(box) + " " + pixels(image);
}

}  // namespace

int main()
{
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    rose_ros::ImageSize size{};
    MaskMessage message{};
    std::size_t count = 0;
    words >> size.width >> size.height >> message.roi.x_offset >> message.roi.y_offset >>
    message.roi.width >> message.roi.height >> count;
    message.runs.resize(count);
    for (auto & run : message.runs) {
      words >> run;
    }
    if (!words) {
      std::cerr << "cannot read: " << line << '\n';
      return 1;
    }
    std::string answer;
    try {
      answer = decode(message, size);
    } catch (const rose_ros::MaskError & error) {
      answer = std::string("refused ") + error.what();
    }
    const auto reason = other_reason(rose_ros::view_of(message), size);
    if (answer.rfind("refused ", 0) == 0 ? answer != "refused " + reason : !reason.empty()) {
      answer = "check_mask and the decoders differ";
    }
    std::cout << answer << '\n';
  }
  return 0;
}
