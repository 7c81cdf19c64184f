// Header fields and responses as values.
#pragma once

#include <cstddef>
#include <functional>
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

/// Receives the body of a streamed response, piece by piece. Used by one thread.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// Waits until the client has taken enough of what was written before, up to ConnectionTimeouts::write.
  /// @return false when the client has left or takes too long; nothing more can be written then
  virtual bool write(std::string_view bytes) = 0;
  /// True when no byte can reach the client any more.
  virtual bool gone() = 0;
  /// True when the client sends no more. Either it has left, or it only ended its own sending and still reads: write
  /// something from time to time, and gone() becomes true if it has left.
  virtual bool ended_sending() = 0;
};

/// One response. The transport adds Content-Length or Transfer-Encoding, Date and Connection.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  bool close = false;  ///< end the connection after this response
  /// Writes the body instead of `body`, when its length is not known beforehand. Called once, on the thread that called
  /// the handler, after the head was written; the head and the client of the request are still valid. Destroyed without
  /// a call when the head cannot be written. Must not throw.
  std::function<void(BodyWriter&)> stream = {};
};

/// A response whose body is JSON.
Response json_response(int status, std::string body);

}  // namespace easel::http
