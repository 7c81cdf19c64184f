#include "weights/format/gguf.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/byte_reader.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr char kAlignmentKey[] = "general.alignment";
constexpr std::string_view kShapeKey = "comfy.gguf.orig_shape.";
constexpr std::uint64_t kDefaultAlignment = 32, kMaxAlignment = 1 << 16;
constexpr std::uint32_t kMaxGgufDimensions = 4;  // of ggml's tensors
constexpr std::uint64_t kMaxGgufName = 65535;    // of keys, by the format's definition
constexpr std::uint64_t kKeptIntegers = 16;      // longer arrays are vocabularies and the like
constexpr std::uint64_t kMinTensorBytes = 24;    // name length, dimensions, type and offset
constexpr std::uint64_t kMinMetadataBytes = 13;  // key length, type and value

struct GgufType {
  std::uint32_t number;
  std::string_view name;  // of a StoredDtype or BlockFormat, or one that is not read
};
/// ggml.h, ggml_type.
constexpr GgufType kTypes[] = {
    {0, "F32"},      {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},   {6, "Q5_0"},    {7, "Q5_1"},   {8, "Q8_0"},
    {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},    {12, "Q4_K"},  {13, "Q5_K"},   {14, "Q6_K"},  {15, "Q8_K"},
    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
    {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},     {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"},
    {30, "BF16"},    {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}};

/// gguf_type: the types of metadata.
enum class ValueType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

/// Bytes of a number; 0 for strings and arrays.
int number_bytes(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      return 0;
  }
  return 0;
}

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> file, const std::string& where)
      : where_(where), size_(file.size()), reader_(file, where_) {}

  GgufHeader read() {
    const auto [tensors, metadata] = read_counts();
    for (std::uint64_t i = 0; i < metadata; ++i) read_metadata();
    read_alignment();
    for (std::uint64_t i = 0; i < tensors; ++i) read_tensor();
    lay_out();
    return std::move(header_);
  }

 private:
  template <class... Parts>
  Error corrupt(const Parts&... parts) const {
    return {ErrorCode::kCorruptData, concat(where_, ": ", parts...)};
  }
  template <class... Parts>
  Error fault(const GgufEntry& entry, const Parts&... parts) const {
    return corrupt("tensor ", quote_name(entry.name), ": ", parts...);
  }

  std::pair<std::uint64_t, std::uint64_t> read_counts() {
    if (size_ < kMagic.size() || reader_.take_text(kMagic.size()) != kMagic) {
      throw Error(ErrorCode::kCorruptData, where_ + " is not a GGUF file: it does not begin with `GGUF`");
    }
    const auto version = reader_.take_number<std::uint32_t>();
    if (version != 2 && version != 3) {
      const bool big_endian = version != 0 && (version & 0xFFFF) == 0;
      throw Error(ErrorCode::kUnsupported,
                  concat(where_, " is a GGUF file ",
                         big_endian ? std::string("in big-endian order") : concat("of version ", version),
                         "; easel reads versions 2 and 3 in little-endian order"));
    }
    const auto tensors = reader_.take_number<std::uint64_t>(), metadata = reader_.take_number<std::uint64_t>();
    // Each takes some bytes, so that a count by itself cannot make the reader allocate memory.
    if (tensors > reader_.remaining() / kMinTensorBytes)
      throw corrupt("there are said to be ", tensors, " tensors, more than fit");
    if (metadata > reader_.remaining() / kMinMetadataBytes) {
      throw corrupt("there are said to be ", metadata, " metadata, more than fit");
    }
    return {tensors, metadata};
  }

  std::string_view read_string() { return reader_.take_text(reader_.take_number<std::uint64_t>()); }

  ValueType read_type(const std::string& key) {
    const auto number = reader_.take_number<std::uint32_t>();
    if (number > static_cast<std::uint32_t>(ValueType::kF64)) {
      throw corrupt("the metadata ", quote_name(key), " is of type ", number, ", which the format does not have");
    }
    return static_cast<ValueType>(number);
  }

  void read_metadata() {
    const auto length = reader_.take_number<std::uint64_t>();
    if (length > kMaxGgufName) throw corrupt("the key of a metadata is said to have ", length, " bytes");
    const std::string key(reader_.take_text(length));
    if (!keys_.insert(key).second) throw corrupt("the metadata ", quote_name(key), " occurs twice");
    const auto type = read_type(key);
    if (type == ValueType::kString) {
      header_.strings[key] = std::string(read_string());
    } else if (type == ValueType::kArray) {
      read_array(key);
    } else if (const auto value = read_number(type)) {
      header_.integers[key] = {*value};
    }
  }

  void read_array(const std::string& key) {
    const auto type = read_type(key);
    const auto count = reader_.take_number<std::uint64_t>();
    if (type == ValueType::kArray) throw corrupt("the metadata ", quote_name(key), " is an array of arrays");
    const auto smallest =
        type == ValueType::kString ? sizeof(std::uint64_t) : static_cast<std::uint64_t>(number_bytes(type));
    if (count > reader_.remaining() / smallest)
      throw corrupt("the metadata ", quote_name(key), " has ", count, " entries, more than fit");
    if (type == ValueType::kString) {
      for (std::uint64_t i = 0; i < count; ++i) read_string();
    } else if (count > kKeptIntegers) {
      reader_.take(count * smallest);
    } else {
      std::vector<std::int64_t> values;
      for (std::uint64_t i = 0; i < count; ++i) {
        if (const auto value = read_number(type)) values.push_back(*value);
      }
      if (values.size() == count) header_.integers[key] = std::move(values);
    }
  }

  /// None for a number that is not an integer of 64 bits.
  std::optional<std::int64_t> read_number(ValueType type) {
    switch (type) {
      case ValueType::kU8:
      case ValueType::kBool:
        return reader_.take_number<std::uint8_t>();
      case ValueType::kI8:
        return reader_.take_number<std::int8_t>();
      case ValueType::kU16:
        return reader_.take_number<std::uint16_t>();
      case ValueType::kI16:
        return reader_.take_number<std::int16_t>();
      case ValueType::kU32:
        return reader_.take_number<std::uint32_t>();
      case ValueType::kI32:
        return reader_.take_number<std::int32_t>();
      case ValueType::kI64:
        return reader_.take_number<std::int64_t>();
      case ValueType::kU64: {
        const auto value = reader_.take_number<std::uint64_t>();
        if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
        return static_cast<std::int64_t>(value);
      }
      default:
        reader_.take(static_cast<std::uint64_t>(number_bytes(type)));
        return std::nullopt;
    }
  }

  void read_alignment() {
    const auto found = header_.integers.find(kAlignmentKey);
    if (found == header_.integers.end()) return;
    const auto given = found->second.empty() ? 0 : found->second[0];
    if (given < 1 || static_cast<std::uint64_t>(given) > kMaxAlignment || (given & (given - 1)) != 0) {
      throw corrupt("`", kAlignmentKey, "` is ", given, ", expected a power of two of at most ", kMaxAlignment);
    }
    alignment_ = static_cast<std::uint64_t>(given);
  }

  void read_tensor() {
    GgufEntry entry;
    const auto length = reader_.take_number<std::uint64_t>();
    if (length > kMaxGgufName) throw corrupt("the name of a tensor is said to have ", length, " bytes");
    entry.name = std::string(reader_.take_text(length));
    if (!names_.insert(entry.name).second) throw corrupt("tensor ", quote_name(entry.name), " occurs twice");
    const auto dimensions = reader_.take_number<std::uint32_t>();
    if (dimensions > kMaxGgufDimensions) throw fault(entry, "it is said to have ", dimensions, " dimensions");
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      const auto extent = reader_.take_number<std::uint64_t>();
      if (extent > static_cast<std::uint64_t>(INT64_MAX)) throw fault(entry, "a dimension is too large");
      entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(extent));
    }
    read_tensor_type(entry);
    entry.begin = reader_.take_number<std::uint64_t>();
    if (entry.begin % alignment_ != 0)
      throw fault(entry, "its offset ", entry.begin, " is not a multiple of ", alignment_);
    entry.end = size_of_data(entry);  // moved to its place when all tensors are known
    restore_shape(entry);
    header_.tensors.push_back(std::move(entry));
  }

  void read_tensor_type(GgufEntry& entry) {
    const auto number = reader_.take_number<std::uint32_t>();
    const auto* type = std::ranges::find(kTypes, number, &GgufType::number);
    const auto name = type == std::end(kTypes) ? concat("type ", number) : std::string(type->name);
    entry.dtype = find_stored_dtype(name);
    entry.blocks = find_block_format(name);
    if (entry.dtype != nullptr || entry.blocks != nullptr) return;
    throw Error(
        ErrorCode::kUnsupported,
        concat(where_, ": tensor ", quote_name(entry.name), " is stored as ", name,
               ", which easel cannot read; it reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K"));
  }

  std::uint64_t size_of_data(const GgufEntry& entry) const {
    std::uint64_t count = 1;
    for (const auto extent : entry.shape) {
      // Strides are computed from the nonzero dimensions even if another one is zero.
      const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(extent, 1));
      if (__builtin_mul_overflow(count, factor, &count) || count > static_cast<std::uint64_t>(INT64_MAX) / 8) {
        throw fault(entry, format_shape(entry.shape), " is not a size that memory can have");
      }
    }
    if (std::ranges::find(entry.shape, 0) != entry.shape.end()) return 0;
    if (entry.dtype != nullptr) return count * static_cast<std::uint64_t>(entry.dtype->bits) / 8;
    const auto row = entry.shape.empty() ? 1 : entry.shape.back();
    if (row % entry.blocks->values != 0) {
      throw fault(entry, "its rows have ", row, " values, which are not whole blocks of ", entry.blocks->values, " in ",
                  entry.blocks->name);
    }
    return block_bytes(*entry.blocks, count);
  }

  /// Blocks may then span rows; see QuantizedWeight.
  void restore_shape(GgufEntry& entry) const {
    const auto found = header_.integers.find(concat(kShapeKey, entry.name));
    if (found == header_.integers.end()) return;
    std::int64_t count = 1, stored = 1;
    for (const auto extent : entry.shape) stored *= extent;
    for (const auto extent : found->second) {
      if (extent < 0 || __builtin_mul_overflow(count, extent, &count)) count = -1;
      if (count < 0) break;
    }
    if (count != stored) {
      throw fault(entry, "`", kShapeKey, "...` is ", format_shape(found->second), ", which has another size than ",
                  format_shape(entry.shape));
    }
    entry.shape = found->second;
  }

  std::uint64_t aligned(std::uint64_t position) const { return (position + alignment_ - 1) / alignment_ * alignment_; }

  /// Moves the offsets to the start of the file, and checks that the tensors follow each other.
  void lay_out() {
    const auto data_begin = aligned(reader_.position());
    std::ranges::stable_sort(header_.tensors, {}, &GgufEntry::begin);
    const auto available = size_ > data_begin ? size_ - data_begin : 0;
    std::uint64_t expected = 0;  // from the start of the data
    for (auto& entry : header_.tensors) {
      if (entry.begin != expected) {
        throw fault(entry, "it begins at byte ", entry.begin, " of the data, expected ", expected,
                    ", where the tensor before it ends");
      }
      const auto size = entry.end;
      if (entry.begin > available || size > available - entry.begin) {
        throw fault(entry, "it ends at byte ", entry.begin + size, " of the data, but the file has ", available,
                    " bytes of data");
      }
      expected = aligned(entry.begin + size);
      entry.begin += data_begin;
      entry.end = entry.begin + size;
    }
    const auto last = header_.tensors.empty() ? data_begin : header_.tensors.back().end;
    if (size_ > aligned(last))
      throw corrupt(size_ - aligned(last), " bytes at the end of the file belong to no tensor");
  }

  std::string where_;
  std::uint64_t size_;
  ByteReader reader_;
  GgufHeader header_;
  std::set<std::string> keys_, names_;
  std::uint64_t alignment_ = kDefaultAlignment;
};

}  // namespace

GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& where) {
  return HeaderReader(file, where).read();
}

int gguf_type_of(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &GgufType::name);
  return found == std::end(kTypes) ? -1 : static_cast<int>(found->number);
}

}  // namespace easel
