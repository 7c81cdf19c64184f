// Reading little-endian numbers from bytes that may end too early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/text.h"
#include "easel/error.h"

namespace easel {

/// Reads forward through bytes it does not own.
class ByteReader {
 public:
  /// @param where  the name of the bytes in messages; must outlive the reader
  ByteReader(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  /// This and all functions below: @throws Error(kCorruptData)  fewer bytes than needed are left
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) {
      throw Error(ErrorCode::kCorruptData, concat(where_, " is cut off: byte ", position_, " should be followed by ",
                                                  count, " more, there are ", remaining()));
    }
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return taken;
  }
  std::string_view take_text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  template <class T>
  T take_number() {
    static_assert(std::is_integral_v<T>);
    std::make_unsigned_t<T> value = 0;
    int shift = 0;
    for (const std::byte byte : take(sizeof(T))) {
      value = static_cast<std::make_unsigned_t<T>>(value | std::to_integer<std::uint64_t>(byte) << shift);
      shift += 8;
    }
    return static_cast<T>(value);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::size_t position_ = 0;
};

}  // namespace easel
