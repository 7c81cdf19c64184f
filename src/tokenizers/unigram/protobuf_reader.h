// The fields of one serialised protocol buffer message, without a schema.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace easel {

/// One field as it is encoded; see "Encoding" in the documentation of protocol buffers.
struct ProtobufField {
  std::uint64_t number = 0;
  bool has_length = false;      ///< a string, bytes or a message: `bytes` is its content
  std::uint64_t value = 0;      ///< of a number; a float's bits are the lower 32
  std::string_view bytes = {};  ///< points into the message
  std::string_view whole = {};  ///< key and content, as they would be copied to another message
};

/// Reads the fields of a message in the order in which they are stored. Lengths are checked before they are used.
class ProtobufReader {
 public:
  /// @param message  outlives the reader
  /// @param where    what error messages call it
  ProtobufReader(std::string_view message, std::string where) : message_(message), where_(std::move(where)) {}

  /// The next field; none at the end of the message.
  /// @throws Error(kCorruptData)  a field that the message cuts off, or that has an unknown wire type
  std::optional<ProtobufField> next();

 private:
  std::uint64_t read_varint();
  std::string_view read_bytes(std::uint64_t count);

  std::string_view message_;
  std::string where_;
  std::size_t position_ = 0;
};

/// Appends a field whose content is a string, bytes or a message.
void append_protobuf_bytes(std::string& message, std::uint32_t number, std::string_view bytes);
void append_protobuf_varint(std::string& message, std::uint32_t number, std::uint64_t value);
void append_protobuf_float(std::string& message, std::uint32_t number, float value);

}  // namespace easel
