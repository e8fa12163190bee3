// Decode the masks of rose_ros/msg/Mask: run lengths of a box, alternating background and
// foreground. Header only, C++17, no dependency: it takes plain numbers, and any message type that
// has the fields of rose_ros/msg/Mask.
//
// Masks come from other machines, so every function checks them first and throws MaskError for
// what no encoder writes. The rules are those of rose_ros/perception/masks.py. A mask that passes
// cannot make a decoder write outside its buffer or take more than kMaxPixels bytes.
#ifndef ROSE_ROS__MASK_HPP_
#define ROSE_ROS__MASK_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace rose_ros
{

/// Largest image whose masks are decoded, in pixels.
inline constexpr std::uint64_t kMaxPixels = 50'000'000;

/// A mask or its run lengths are malformed; what() says what was given and what is allowed.
class MaskError : public std::runtime_error
{
public:
  using std::runtime_error::runtime_error;
};

/// Size of an image in pixels: that of the SegmentArray which holds the mask.
struct ImageSize
{
  std::uint32_t width;
  std::uint32_t height;
};

/// A mask that somebody else owns: its box in pixels of the image, half-open, and its runs.
struct MaskView
{
  std::uint32_t x;
  std::uint32_t y;
  std::uint32_t width;
  std::uint32_t height;
  const std::uint32_t * runs;
  std::size_t size;  ///< number of runs
};

/// View a rose_ros/msg/Mask, or anything with its fields; valid as long as the message is.
template<class MaskMessage>
MaskView view_of(const MaskMessage & message)
{
  return {
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height,
    message.runs.data(), message.runs.size()};
}

/// Throw MaskError unless the box lies inside the image and the runs fill it exactly.
inline void check_mask(const MaskView & mask, const ImageSize & image)
{
  const auto text = [](std::uint64_t value) {return std::to_string(value);};
  // All sums and products in 64 bits: those of 32-bit fields cannot overflow there.
  const std::uint64_t pixels = std::uint64_t{image.width} * image.height;
  if (pixels == 0 || pixels > kMaxPixels) {
    throw MaskError(
            "an image of " + text(image.width) + " x " + text(image.height) +
            " px; allowed are 1 to " + text(kMaxPixels) + " px");
  }
  if (std::uint64_t{mask.x} + mask.width > image.width ||
    std::uint64_t{mask.y} + mask.height > image.height)
  {
    throw MaskError(
            "box (" + text(mask.x) + ", " + text(mask.y) + ", " + text(mask.width) + ", " +
            text(mask.height) + ") (x, y, width, height) lies outside " + text(image.width) +
            " x " + text(image.height) + " px");
  }
  const std::uint64_t area = std::uint64_t{mask.width} * mask.height;
  if (mask.size > area + 1) {
    throw MaskError(text(mask.size) + " runs for a box of " + text(area) + " px");
  }
  if (mask.size != 0 && mask.runs == nullptr) {
    throw MaskError(text(mask.size) + " runs at no address");
  }
  std::uint64_t sum = 0;  // at most (kMaxPixels + 1) runs of 32 bits: no overflow
  for (std::size_t i = 0; i < mask.size; ++i) {
    if (mask.runs[i] > area) {
      throw MaskError("a run of " + text(mask.runs[i]) + " px in " + text(area) + " px");
    }
    if (i != 0 && mask.runs[i] == 0) {
      throw MaskError("a run of 0 px after the first; neighbouring runs must be joined");
    }
    sum += mask.runs[i];
  }
  if (sum != area) {
    throw MaskError("runs add up to " + text(sum) + " px; the box has " + text(area) + " px");
  }
}

/// Call visit(y, x_begin, x_end) for every stretch of foreground within one row of the image.
///
/// Coordinates are pixels of the image, x half-open; rows come from top to bottom, stretches of a
/// row from left to right. Allocates nothing. Throws MaskError before the first call.
template<class Visit>
void for_each_span(const MaskView & mask, const ImageSize & image, Visit && visit)
{
  check_mask(mask, image);
  std::uint64_t position = 0;  // in the box, row by row
  for (std::size_t i = 0; i < mask.size; ++i) {
    const std::uint64_t end = position + mask.runs[i];
    if (i % 2 == 0) {
      position = end;
      continue;
    }
    while (position < end) {
      const std::uint64_t row = position / mask.width;
      const std::uint64_t row_end = std::min(end, (row + 1) * mask.width);
      const auto begin = static_cast<std::uint32_t>(position - row * mask.width);
      const auto stop = static_cast<std::uint32_t>(row_end - row * mask.width);
      visit(static_cast<std::uint32_t>(mask.y + row), mask.x + begin, mask.x + stop);
      position = row_end;
    }
  }
}

/// Return the number of foreground pixels.
inline std::uint64_t area_of(const MaskView & mask, const ImageSize & image)
{
  check_mask(mask, image);
  std::uint64_t area = 0;
  for (std::size_t i = 1; i < mask.size; i += 2) {
    area += mask.runs[i];
  }
  return area;
}

/// Decode the box only: mask.width * mask.height bytes, row by row, `foreground` or 0.
inline std::vector<std::uint8_t> decode_box(
  const MaskView & mask, const ImageSize & image, std::uint8_t foreground = 1)
{
  check_mask(mask, image);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(static_cast<std::size_t>(mask.width) * mask.height);
  for (std::size_t i = 0; i < mask.size; ++i) {
    bytes.insert(bytes.end(), mask.runs[i], i % 2 != 0 ? foreground : std::uint8_t{0});
  }
  return bytes;
}

/// Decode the box only, one bit for a pixel, row by row.
inline std::vector<bool> decode_bits(const MaskView & mask, const ImageSize & image)
{
  check_mask(mask, image);
  std::vector<bool> bits;
  bits.reserve(static_cast<std::size_t>(mask.width) * mask.height);
  for (std::size_t i = 0; i < mask.size; ++i) {
    bits.insert(bits.end(), mask.runs[i], i % 2 != 0);
  }
  return bits;
}

/// Decode to the whole image: image.width * image.height bytes, row by row, `foreground` or 0.
inline std::vector<std::uint8_t> decode_image(
  const MaskView & mask, const ImageSize & image, std::uint8_t foreground = 1)
{
  check_mask(mask, image);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(image.width) * image.height, 0);
  for_each_span(
    mask, image, [&](std::uint32_t y, std::uint32_t x_begin, std::uint32_t x_end) {
      const auto row = bytes.begin() + static_cast<std::ptrdiff_t>(y) * image.width;
      std::fill(row + x_begin, row + x_end, foreground);
    });
  return bytes;
}

}  // namespace rose_ros

#endif  // ROSE_ROS__MASK_HPP_
