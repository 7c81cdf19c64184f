// multipart/form-data (RFC 7578, RFC 2046 section 5.1), from bytes that arrive piece by piece.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/transport/message.h"

namespace easel::http {

/// One part of a form. File names and types that clients state are not used: the content decides.
struct FormPart {
  std::string name;
  std::string content;
  bool has_file_name = false;  ///< the client stated one that is not empty
};

struct FormLimits {
  std::size_t max_parts = 128;
  std::size_t max_header_bytes = 8192;               ///< of one part
  std::size_t max_text_bytes = 1u << 20;             ///< of all parts that are not files, together
  std::size_t max_file_bytes = 1u << 20;             ///< of one file
  bool (*is_file)(std::string_view name) = nullptr;  ///< which parts are files, by name; null: none
};

/// The boundary that a Content-Type names; none when the type is not multipart/form-data.
/// @throws ProtocolError(400)  it is multipart/form-data without a boundary that RFC 2046 allows
std::optional<std::string> form_boundary(std::string_view content_type);

/// Splits a form into its parts. Preamble and epilogue are dropped; lines end with CRLF. Not thread-safe.
class MultipartReader {
 public:
  MultipartReader(const std::string& boundary, const FormLimits& limits);

  /// @throws ProtocolError  400: malformed, or too many parts; 413: a part is too large. Names the part, once its name
  /// is
  ///                        known
  void feed(std::string_view bytes);

  /// All parts, in order.
  /// @throws ProtocolError(400)  the last boundary is missing
  std::vector<FormPart> finish();

 private:
  enum class State { kPreamble, kDelimiterEnd, kHeader, kContent, kEpilogue };

  bool advance();
  bool read_to_delimiter();
  bool end_delimiter();
  bool read_header();
  void begin_part(std::string_view header);
  void add_content(std::string_view piece);

  const std::string delimiter_;
  const FormLimits limits_;
  State state_ = State::kPreamble;
  std::string buffer_;  // not processed yet
  std::vector<FormPart> parts_;
  bool in_file_ = false;
  std::size_t text_bytes_ = 0;
};

}  // namespace easel::http
