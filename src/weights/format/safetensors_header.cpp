#include "weights/format/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_set>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr std::string_view kMetadataKey = "__metadata__";

/// Handles the JSON's events one by one, so that repeated keys are noticed and only expected values are stored.
class HeaderHandler {
 public:
  HeaderHandler(SafetensorsHeader& header, const std::string& where) : header_(header), where_(where) {}

  bool null() {
    // The reference reads "__metadata__": null as no metadata.
    if (state_ == State::kRoot && key_ == kMetadataKey) return true;
    return scalar("null");
  }
  bool boolean(bool) { return scalar("true or false"); }
  bool number_integer(std::int64_t) { return scalar("a negative number"); }
  bool number_float(double, const std::string&) { return scalar("a number that is not a 64-bit integer"); }
  bool number_unsigned(std::uint64_t value) {
    if (state_ == State::kShape) {
      if (value > std::numeric_limits<std::int64_t>::max()) throw fault("`shape` has a dimension that is too large");
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (state_ == State::kOffsets) {
      offsets_.push_back(value);
      if (offsets_.size() > 2) throw fault("`data_offsets` has more than two numbers");
      return true;
    }
    return scalar("a number");
  }
  bool string(std::string& value) {
    if (state_ == State::kMetadata) {
      header_.metadata[key_] = value;
      return true;
    }
    if (state_ == State::kTensor && key_ == "dtype") {
      entry_.dtype = find_stored_dtype(value);
      if (entry_.dtype == nullptr)
        throw fault(concat("`dtype` is ", quote_name(value), ", which is not in the format"));
      return true;
    }
    return scalar("a string");
  }
  bool binary(std::vector<std::uint8_t>&) { return scalar("binary"); }

  bool start_object(std::size_t) {
    switch (state_) {
      case State::kStart:
        state_ = State::kRoot;
        return true;
      case State::kRoot:
        keys_.clear();
        if (key_ == kMetadataKey) {
          state_ = State::kMetadata;
        } else {
          state_ = State::kTensor;
          entry_ = {};
          entry_.name = key_;
          offsets_.clear();
        }
        return true;
      default:
        return open("an object");
    }
  }
  bool key(std::string& value) {
    if (state_ == State::kSkipped) return true;
    if (state_ == State::kRoot && !names_.insert(value).second) throw error(concat(quote_name(value), " occurs twice"));
    if (state_ == State::kMetadata && !keys_.insert(value).second) {
      throw error(concat("`__metadata__` has ", quote_name(value), " twice"));
    }
    if (state_ == State::kTensor && !keys_.insert(value).second)
      throw fault(concat(quote_name(value), " occurs twice"));
    key_ = value;
    return true;
  }
  bool end_object() {
    switch (state_) {
      case State::kSkipped:
        return close();
      case State::kTensor:
        finish_entry();
        [[fallthrough]];
      case State::kMetadata:
        state_ = State::kRoot;
        return true;
      default:
        return true;
    }
  }
  bool start_array(std::size_t) {
    if (state_ == State::kTensor && key_ == "shape") {
      state_ = State::kShape;
      return true;
    }
    if (state_ == State::kTensor && key_ == "data_offsets") {
      state_ = State::kOffsets;
      return true;
    }
    return open("an array");
  }
  bool end_array() {
    if (state_ == State::kSkipped) return close();
    state_ = State::kTensor;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    throw error(concat("the header is not valid JSON at byte ", position));
  }

 private:
  enum class State { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kSkipped };

  Error error(const std::string& what) const { return {ErrorCode::kCorruptData, concat(where_, ": ", what)}; }
  Error fault(const std::string& what) const { return error(concat("tensor ", quote_name(entry_.name), ": ", what)); }

  bool in_unknown_field() const {
    return state_ == State::kTensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets";
  }
  /// A value that no rule above handled: of an unknown field, or a mistake.
  bool scalar(const char* kind) {
    if (state_ == State::kSkipped || in_unknown_field()) return true;
    throw misplaced(kind);
  }
  bool open(const char* kind) {
    if (state_ != State::kSkipped && !in_unknown_field()) throw misplaced(kind);
    state_ = State::kSkipped;
    ++skipped_depth_;
    return true;
  }
  bool close() {
    if (--skipped_depth_ == 0) state_ = State::kTensor;
    return true;
  }
  Error misplaced(const char* kind) const {
    switch (state_) {
      case State::kRoot:
        return error(concat(quote_name(key_), " is ", kind, ", expected an object"));
      case State::kMetadata:
        return error(concat("`__metadata__` maps ", quote_name(key_), " to ", kind, ", expected a string"));
      case State::kShape:
        return fault(concat("`shape` holds ", kind, ", expected whole numbers"));
      case State::kOffsets:
        return fault(concat("`data_offsets` holds ", kind, ", expected whole numbers"));
      default:
        return fault(concat(quote_name(key_), " is ", kind, ", expected ", key_ == "dtype" ? "a string" : "an array"));
    }
  }

  void finish_entry() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!keys_.contains(field)) throw fault(concat("`", field, "` is missing"));
    }
    if (offsets_.size() != 2) throw fault(concat("`data_offsets` has ", offsets_.size(), " numbers, expected two"));
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header_.tensors.push_back(std::move(entry_));
  }

  SafetensorsHeader& header_;
  const std::string& where_;
  State state_ = State::kStart;
  int skipped_depth_ = 0;
  std::string key_;
  std::unordered_set<std::string> names_;
  std::set<std::string> keys_;  // of the current object if it is a tensor or the metadata
  SafetensorsEntry entry_;
  std::vector<std::uint64_t> offsets_;
};

/// Describes files that are often mistaken for safetensors, by their first bytes.
void reject_other_formats(std::string_view file, const std::string& where) {
  if (file.size() > kLengthBytes && file[kLengthBytes] == '{') return;
  const auto starts = [&](std::string_view text) { return file.starts_with(text); };
  std::string what;
  if (starts("version https://git-lfs")) {
    what = "a pointer of Git LFS: the file itself was not fetched (`git lfs pull`)";
  } else if (starts("<!DOCTYPE") || starts("<!doctype") || starts("<html") || starts("<?xml")) {
    what = "a web page or the like, as a download that failed leaves it";
  } else if (starts("PK\x03\x04") || starts("\x80\x02\x8a\x0a")) {
    what = concat("a pickle, which can run code when it is loaded; ",
                  where.ends_with(".safetensors") ? "let its name end in .ckpt and " : "",
                  "make safetensors of it with `easel convert`");
  }
  if (!what.empty()) throw Error(ErrorCode::kCorruptData, concat(where, " is ", what));
}

/// The length of the JSON, checked to lie within the file.
std::size_t header_length(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < kLengthBytes) {
    throw Error(ErrorCode::kCorruptData,
                concat(where, " has ", file.size(), " bytes, fewer than a safetensors file can have"));
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  if (length > kMaxHeaderBytes) {
    throw Error(ErrorCode::kCorruptData, concat(where, ": the header is said to have ", length,
                                                " bytes, more than the ", kMaxHeaderBytes, " allowed"));
  }
  if (length > file.size() - kLengthBytes) {
    throw Error(ErrorCode::kCorruptData, concat(where, ": the header is said to have ", length,
                                                " bytes, the file has only ", file.size() - kLengthBytes, " left"));
  }
  return static_cast<std::size_t>(length);
}

/// Size of a tensor in bytes; none if it is not a whole number of bytes, or if the product of the nonzero dimensions
/// does not fit 64 bits (strides are computed from them even if another dimension is zero).
std::optional<std::uint64_t> byte_size(const SafetensorsEntry& entry) {
  std::uint64_t bits = static_cast<std::uint64_t>(entry.dtype->bits);
  bool empty = false;
  for (const std::int64_t dimension : entry.shape) {
    empty = empty || dimension == 0;
    if (dimension != 0 && __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dimension), &bits))
      return std::nullopt;
  }
  if (empty) return 0;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

/// Sorts by offset and checks that the tensors cover `data_bytes` without gaps or overlaps.
void check_layout(std::vector<SafetensorsEntry>& tensors, std::uint64_t data_bytes, const std::string& where) {
  const auto fault = [&](const SafetensorsEntry& entry, const auto&... what) {
    return Error(ErrorCode::kCorruptData, concat(where, ": tensor ", quote_name(entry.name), what...));
  };
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t covered = 0;
  for (const auto& entry : tensors) {
    if (entry.end < entry.begin) throw fault(entry, " ends at byte ", entry.end, ", before it begins at ", entry.begin);
    if (entry.end > data_bytes) {
      throw fault(entry, " ends at byte ", entry.end, ", but the file has ", data_bytes, " bytes of data");
    }
    const auto size = byte_size(entry);
    if (!size) {
      throw fault(entry, ": ", format_shape(entry.shape), " of ", entry.dtype->name,
                  " is not a size that memory can have");
    }
    if (entry.end - entry.begin != *size) {
      throw fault(entry, " has ", entry.end - entry.begin, " bytes, but ", format_shape(entry.shape), " of ",
                  entry.dtype->name, " takes ", *size);
    }
    if (entry.begin < covered) {
      throw fault(entry, " begins at byte ", entry.begin, ", inside the tensor that ends at ", covered);
    }
    if (entry.begin > covered) {
      throw fault(entry, " begins at byte ", entry.begin, ", which leaves a gap after byte ", covered);
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw Error(ErrorCode::kCorruptData,
                concat(where, ": ", data_bytes - covered, " bytes at the end of the file belong to no tensor"));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& where) {
  reject_other_formats({reinterpret_cast<const char*>(file.data()), file.size()}, where);
  const std::size_t length = header_length(file, where);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  // The JSON reader skips a byte order mark and treats a zero byte as the end; neither is valid JSON.
  if (text.empty() || text.front() != '{')
    throw Error(ErrorCode::kCorruptData, where + ": the header does not begin with '{'");
  if (text.find('\0') != std::string_view::npos)
    throw Error(ErrorCode::kCorruptData, where + ": the header holds a zero byte");

  SafetensorsHeader header;
  header.data_begin = kLengthBytes + length;
  HeaderHandler handler(header, where);
  nlohmann::json::sax_parse(text, &handler);
  check_layout(header.tensors, file.size() - header.data_begin, where);
  return header;
}

}  // namespace easel
