#include "tokenizers/unigram/protobuf_reader.h"

#include <bit>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::uint64_t kVarint = 0;
constexpr std::uint64_t kFixed64 = 1;
constexpr std::uint64_t kLengthDelimited = 2;
constexpr std::uint64_t kFixed32 = 5;

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

std::uint64_t ProtobufReader::read_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(read_bytes(1)[0]);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw Error(ErrorCode::kCorruptData, concat(where_, ": the number before byte ", position_, " has over 64 bits"));
}

std::string_view ProtobufReader::read_bytes(std::uint64_t count) {
  if (count > message_.size() - position_) {
    throw Error(ErrorCode::kCorruptData, concat(where_, " is cut off: ", count, " bytes are expected at byte ",
                                                position_, ", but it has ", message_.size()));
  }
  const auto bytes = message_.substr(position_, count);
  position_ += count;
  return bytes;
}

std::optional<ProtobufField> ProtobufReader::next() {
  if (position_ == message_.size()) return std::nullopt;
  const auto begin = position_;
  const auto key = read_varint();
  ProtobufField field{.number = key >> 3};
  switch (key & 7) {
    case kVarint:
      field.value = read_varint();
      break;
    case kFixed64:
      field.value = little_endian(read_bytes(8));
      break;
    case kFixed32:
      field.value = little_endian(read_bytes(4));
      break;
    case kLengthDelimited:
      field.has_length = true;
      field.bytes = read_bytes(read_varint());
      break;
    default:
      throw Error(ErrorCode::kCorruptData,
                  concat(where_, ": field ", field.number, " at byte ", begin, " has the unknown wire type ", key & 7));
  }
  if (field.number == 0) {
    throw Error(ErrorCode::kCorruptData, concat(where_, ": the field at byte ", begin, " has the number 0"));
  }
  field.whole = message_.substr(begin, position_ - begin);
  return field;
}

void append_protobuf_bytes(std::string& message, std::uint32_t number, std::string_view bytes) {
  append_varint(message, std::uint64_t{number} << 3 | kLengthDelimited);
  append_varint(message, bytes.size());
  message += bytes;
}

void append_protobuf_varint(std::string& message, std::uint32_t number, std::uint64_t value) {
  append_varint(message, std::uint64_t{number} << 3 | kVarint);
  append_varint(message, value);
}

void append_protobuf_float(std::string& message, std::uint32_t number, float value) {
  append_varint(message, std::uint64_t{number} << 3 | kFixed32);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) message += static_cast<char>(bits >> shift);
}

}  // namespace easel
