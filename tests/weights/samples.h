// Small handmade files, for tests and as seeds for fuzzing. Does not use torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace easel::samples {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// The low `count` bytes of `number`, lowest first.
inline std::string little_endian(std::uint64_t number, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFF);
  return bytes;
}

/// A safetensors file of this header and `data_bytes` bytes 0, 1, 2, ...
inline std::string safetensors(const std::string& header, std::size_t data_bytes) {
  std::string file = little_endian(header.size(), 8) + header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

/// A file with four tensors, of which one is empty and one a scalar, and with metadata.
inline std::string valid_safetensors() {
  return safetensors(R"({"__metadata__":{"format":"pt","note":"\u00e9"},)"
                     R"("a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                     R"("b":{"dtype":"F16","shape":[],"data_offsets":[40,42]},)"
                     R"("c":{"dtype":"I64","shape":[1,2],"data_offsets":[24,40]},)"
                     R"("empty":{"dtype":"BF16","shape":[4,0],"data_offsets":[24,24]}}  )",
                     42);
}

// GGUF files, field by field as the format's description has them.
inline std::string gguf_string(const std::string& value) {
  return little_endian(value.size(), 8) + value;
}
/// Entries of the metadata: a number of 32 bits, a string, and an array of numbers of 32 bits.
inline std::string gguf_number(const std::string& key, std::uint32_t value) {
  return gguf_string(key) + little_endian(4, 4) + little_endian(value, 4);
}
inline std::string gguf_text(const std::string& key, const std::string& value) {
  return gguf_string(key) + little_endian(8, 4) + gguf_string(value);
}
inline std::string gguf_array(const std::string& key, const std::vector<std::uint32_t>& values) {
  std::string text = gguf_string(key) + little_endian(9, 4) + little_endian(4, 4) + little_endian(values.size(), 8);
  for (const auto value : values) text += little_endian(value, 4);
  return text;
}
/// The description of a tensor in the header. @param shape  fastest dimension first
inline std::string gguf_tensor(const std::string& name, const std::vector<std::uint64_t>& shape, std::uint32_t type,
                               std::uint64_t offset) {
  std::string text = gguf_string(name) + little_endian(shape.size(), 4);
  for (const auto extent : shape) text += little_endian(extent, 8);
  return text + little_endian(type, 4) + little_endian(offset, 8);
}
/// A file of these metadata and tensors, padding, and `data_bytes` bytes 0, 1, 2, ...
inline std::string gguf(const std::vector<std::string>& metadata, const std::vector<std::string>& tensors,
                        std::size_t data_bytes, std::uint32_t version = 3, std::size_t alignment = 32) {
  std::string file =
      "GGUF" + little_endian(version, 4) + little_endian(tensors.size(), 8) + little_endian(metadata.size(), 8);
  for (const auto& item : metadata) file += item;
  for (const auto& item : tensors) file += item;
  file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

/// A file with a matrix of F32, one of Q8_0, a scalar of F16, and metadata of each kind.
inline std::string valid_gguf() {
  return gguf(
      {gguf_text("general.architecture", "flux"), gguf_number("general.alignment", 32),
       gguf_array("some.shape", {2, 3})},
      {gguf_tensor("a.weight", {3, 2}, 0, 0), gguf_tensor("b.weight", {64, 2}, 8, 32), gguf_tensor("c", {}, 1, 192)},
      194);
}

// Pickles, opcode by opcode as pickletools shows them.
inline std::string text(const std::string& value) {
  return "X" + little_endian(value.size(), 4) + value;
}
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string integer(std::int64_t value) {
  return std::string("\x8a\x08", 2) + little_endian(static_cast<std::uint64_t>(value), 8);
}
inline std::string tuple(const std::string& items) {
  return "(" + items + "t";
}
inline std::string pickle(const std::string& body) {
  return "\x80\x02" + body + ".";
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t size) {
  return tuple(text("storage") + global("torch", type) + text(key) + text("cpu") + integer(size)) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset, const std::string& shape,
                          const std::string& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple(storage + integer(offset) + tuple(shape) + tuple(strides) + "\x89" +
               global("collections", "OrderedDict") + ")R") +
         "R";
}
/// {"w": a transposed 2 x 3 window of storage "0", "b": a scalar of storage "1"}
inline std::string valid_pickle() {
  return pickle("}q\x01(" + text("w") +
                tensor(storage("FloatStorage", "0", 8), 1, integer(2) + integer(3), integer(1) + integer(2)) +
                text("b") + tensor(storage("LongStorage", "1", 1), 0, "", "") + "u");
}

/// A zip of one stored entry.
inline std::string zip(const std::string& name, const std::string& contents, std::uint16_t method = 0) {
  const std::string sizes = little_endian(0, 4) + little_endian(contents.size(), 4) + little_endian(contents.size(), 4);
  const std::string common = little_endian(20, 2) + little_endian(0, 2) + little_endian(method, 2) +
                             little_endian(0, 4) + sizes + little_endian(name.size(), 2) + little_endian(0, 2);
  const std::string local = "PK\x03\x04" + common + name + contents;
  const std::string central = "PK\x01\x02" + little_endian(20, 2) + common + std::string(14, '\0') + name;
  return local + central + "PK\x05\x06" + little_endian(0, 4) + little_endian(1, 2) + little_endian(1, 2) +
         little_endian(central.size(), 4) + little_endian(local.size(), 4) + little_endian(0, 2);
}

}  // namespace easel::samples
