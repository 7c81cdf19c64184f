// A state machine: the preamble, then delimiter, headers and content of every part, then the epilogue.
#include "http/transport/multipart.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxBoundary = 70;  // RFC 2046
constexpr std::size_t kMaxPadding = 256;  // spaces and tabs after a delimiter
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeaderEnd = "\r\n\r\n";

ProtocolError malformed_form(std::string message, std::string param = {}) {
  return ProtocolError({.status = 400, .message = std::move(message), .part = std::move(param)});
}

struct Parameter {
  std::string_view name;
  std::string value;
};

// Browsers write a quote in a name as %22, older clients as \" (RFC 2388). A backslash before any other character is an
// ordinary character: it comes from Windows paths.
std::string unescape(std::string_view quoted) {
  constexpr std::pair<std::string_view, char> kEscapes[] = {
      {"\\\"", '"'}, {"\\\\", '\\'}, {"%22", '"'}, {"%0D", '\r'}, {"%0A", '\n'}};
  std::string text;
  while (!quoted.empty()) {
    const auto* escape = std::find_if(std::begin(kEscapes), std::end(kEscapes),
                                      [&](const auto& candidate) { return quoted.starts_with(candidate.first); });
    const bool found = escape != std::end(kEscapes);
    text += found ? escape->second : quoted.front();
    quoted.remove_prefix(found ? escape->first.size() : 1);
  }
  return text;
}

// The quoted string at the beginning of `text`, without its quotes. Removes it from `text`.
std::string take_quoted(std::string_view& text) {
  std::size_t end = 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' && end + 1 < text.size() ? 2 : 1;
  if (end >= text.size()) throw malformed_form("A quoted value in a header of the form has no closing quote.");
  auto value = unescape(text.substr(1, end - 1));
  text.remove_prefix(end + 1);
  return value;
}

std::string take_token(std::string_view& text) {
  const auto end = std::min(text.find(';'), text.size());
  auto value = trimmed(text.substr(0, end));
  text.remove_prefix(end);
  if (value.size() >= 2 && value.front() == '\'' && value.back() == '\'') value = value.substr(1, value.size() - 2);
  return std::string(value);
}

// The parameters after the first semicolon of a header's value.
std::vector<Parameter> header_parameters(std::string_view value) {
  std::vector<Parameter> parameters;
  value.remove_prefix(std::min(value.find(';'), value.size()));
  while (!value.empty()) {
    value = trimmed(value);
    if (!value.starts_with(';'))
      throw malformed_form("A header of the form has other text where a semicolon is expected.");
    value = trimmed(value.substr(1));
    if (value.empty()) break;
    const auto equals = value.find('=');
    if (equals == std::string_view::npos) throw malformed_form("A header of the form has a parameter without a value.");
    const auto name = trimmed(value.substr(0, equals));
    value = trimmed(value.substr(equals + 1));
    parameters.push_back({name, value.starts_with('"') ? take_quoted(value) : take_token(value)});
    value = trimmed(value);
  }
  return parameters;
}

std::string_view first_word(std::string_view value) {
  return trimmed(value.substr(0, value.find(';')));
}

// The one parameter of that name, or none.
std::optional<std::string> sole_parameter(const std::vector<Parameter>& parameters, std::string_view name) {
  std::optional<std::string> found;
  for (const auto& parameter : parameters) {
    if (!equal_ignoring_case(parameter.name, name)) continue;
    if (found) throw malformed_form(concat("A header of the form has the parameter ", quote(name), " twice."));
    found = parameter.value;
  }
  return found;
}

bool is_boundary_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
}

FormPart read_disposition(std::string_view disposition) {
  if (!equal_ignoring_case(first_word(disposition), "form-data")) {
    throw malformed_form("A part of the form is not form-data.");
  }
  const auto parameters = header_parameters(disposition);
  const auto name = sole_parameter(parameters, "name");
  if (!name || name->empty()) throw malformed_form("A part of the form has no name.");
  const bool has_file_name = std::any_of(parameters.begin(), parameters.end(), [](const Parameter& parameter) {
    const bool is_file_name =
        equal_ignoring_case(parameter.name, "filename") || equal_ignoring_case(parameter.name, "filename*");
    return is_file_name && !parameter.value.empty();
  });
  return {.name = *name, .content = {}, .has_file_name = has_file_name};
}

void check_transfer_encoding(std::string_view encoding, const std::string& name) {
  for (const char* plain : {"binary", "8bit", "7bit"}) {
    if (equal_ignoring_case(encoding, plain)) return;
  }
  throw malformed_form(concat("The part ", quote(name), " of the form has the transfer encoding ", quote(encoding),
                              "; only binary, 8bit and 7bit are supported."),
                       name);
}

}  // namespace

std::optional<std::string> form_boundary(std::string_view content_type) {
  if (!equal_ignoring_case(first_word(content_type), "multipart/form-data")) return std::nullopt;
  const auto boundary = sole_parameter(header_parameters(content_type), "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundary || boundary->ends_with(' ') ||
      !std::all_of(boundary->begin(), boundary->end(), is_boundary_char)) {
    throw malformed_form("The Content-Type multipart/form-data needs a boundary of 1 to 70 characters.");
  }
  return boundary;
}

// The first delimiter may be at the very beginning of the body, without a line end before it.
MultipartReader::MultipartReader(const std::string& boundary, const FormLimits& limits)
    : delimiter_("\r\n--" + boundary), limits_(limits), buffer_(kLineEnd) {}

void MultipartReader::feed(std::string_view bytes) {
  buffer_ += bytes;
  while (advance()) {
  }
}

// True when a piece was processed, so that there may be another one.
bool MultipartReader::advance() {
  switch (state_) {
    case State::kPreamble:
    case State::kContent:
      return read_to_delimiter();
    case State::kDelimiterEnd:
      return end_delimiter();
    case State::kHeader:
      return read_header();
    case State::kEpilogue:
      buffer_.clear();
      break;
  }
  return false;
}

bool MultipartReader::read_to_delimiter() {
  const auto at = buffer_.find(delimiter_);
  const bool found = at != std::string::npos;
  // The last bytes stay in the buffer: they may be the beginning of a delimiter.
  const auto taken = found ? at : buffer_.size() - std::min(buffer_.size(), delimiter_.size() - 1);
  if (state_ == State::kContent) add_content(std::string_view(buffer_).substr(0, taken));
  buffer_.erase(0, taken + (found ? delimiter_.size() : 0));
  if (found) state_ = State::kDelimiterEnd;
  return found;
}

bool MultipartReader::end_delimiter() {
  if (buffer_.starts_with("--")) {
    state_ = State::kEpilogue;
    return true;
  }
  const auto end = std::min(buffer_.find_first_not_of(" \t"), buffer_.size());
  if (end > kMaxPadding) throw malformed_form("There are too many spaces after a boundary of the form.");
  if (buffer_.size() < end + kLineEnd.size()) return false;
  // The boundary with more behind it is content: a file may have a line that only begins with the boundary.
  if (buffer_.compare(end, kLineEnd.size(), kLineEnd) != 0) {
    state_ = parts_.empty() ? State::kPreamble : State::kContent;
    if (state_ == State::kContent) add_content(delimiter_);
    return true;
  }
  buffer_.erase(0, end + kLineEnd.size());
  state_ = State::kHeader;
  return true;
}

bool MultipartReader::read_header() {
  const auto end = buffer_.starts_with(kLineEnd) ? 0 : buffer_.find(kHeaderEnd);
  if (std::min(end, buffer_.size()) > limits_.max_header_bytes) {
    throw malformed_form(concat("A part's headers have more than ", limits_.max_header_bytes, " bytes."));
  }
  if (end == std::string::npos) return false;
  begin_part(std::string_view(buffer_).substr(0, end));
  buffer_.erase(0, end + kHeaderEnd.size());
  state_ = State::kContent;
  return true;
}

void MultipartReader::begin_part(std::string_view header) {
  if (parts_.size() == limits_.max_parts) {
    throw malformed_form(concat("The form has more than ", limits_.max_parts, " parts."));
  }
  std::optional<FormPart> part;
  std::string_view encoding;
  while (!header.empty()) {
    const auto line = header.substr(0, header.find(kLineEnd));
    header.remove_prefix(std::min(line.size() + kLineEnd.size(), header.size()));
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) throw malformed_form("A header of the form has no colon.");
    const auto field = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (equal_ignoring_case(field, "Content-Transfer-Encoding")) encoding = value;
    if (!equal_ignoring_case(field, "Content-Disposition")) continue;
    if (part) throw malformed_form("A part of the form has two Content-Dispositions.");
    part = read_disposition(value);
  }
  if (!part) throw malformed_form("A part of the form has no Content-Disposition.");
  if (!encoding.empty()) check_transfer_encoding(encoding, part->name);
  in_file_ = limits_.is_file != nullptr && limits_.is_file(part->name);
  parts_.push_back(std::move(*part));
}

void MultipartReader::add_content(std::string_view piece) {
  auto& part = parts_.back();
  if (!in_file_) text_bytes_ += piece.size();
  const auto limit = in_file_ ? limits_.max_file_bytes : limits_.max_text_bytes;
  if ((in_file_ ? part.content.size() + piece.size() : text_bytes_) > limit) {
    throw ProtocolError({.status = 413,
                         .message = in_file_
                                        ? concat("The file ", quote(part.name), " has more than ", limit, " bytes.")
                                        : concat("The text parts of the form have more than ", limit, " bytes."),
                         .part = part.name});
  }
  part.content += piece;
}

std::vector<FormPart> MultipartReader::finish() {
  if (state_ == State::kPreamble) throw malformed_form("The boundary that the Content-Type names is not in the body.");
  if (state_ != State::kEpilogue) throw malformed_form("The form ends before its last boundary.");
  return std::move(parts_);
}

}  // namespace easel::http
