// Header fields and responses as values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace easel::http {

/// ASCII only, as header names and the schemes in them are.
bool equal_ignoring_case(std::string_view a, std::string_view b);

/// `text` without spaces and tabs at either end.
std::string_view trimmed(std::string_view text);

/// The comma-separated elements of a list field, trimmed; empty ones are left out.
std::vector<std::string_view> list_elements(std::string_view value);

/// Header fields in order; names compare without regard to case.
class Headers {
 public:
  struct Field {
    std::string name;
    std::string value;
  };

  void add(std::string name, std::string value) { fields_.push_back({std::move(name), std::move(value)}); }
  /// The first field of that name, or nullptr.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  std::size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

/// One response. The transport adds Content-Length, Date and Connection.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  bool close = false;  ///< end the connection after this response
};

/// A response whose body is JSON.
Response json_response(int status, std::string body);

}  // namespace easel::http
