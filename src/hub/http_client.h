// Downloads over HTTP and HTTPS from servers that are not trusted.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace easel::hub {

/// When a transfer is given up or tried again.
struct TransferPolicy {
  int attempts = 3;                             ///< consecutive ones without progress
  std::chrono::milliseconds first_pause{1000};  ///< before the second attempt; four times as long before each later one
  std::chrono::seconds max_retry_after{60};     ///< a server that asks for a longer pause is given up
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds slow_time{15};       ///< a transfer that is below slow_rate for so long has failed
  long slow_rate = 1024;                    ///< bytes per second
  std::chrono::seconds document_time{120};  ///< an attempt to fetch a small document ends after so long
  /// Asked several times per second; true ends the transfer with Error(kCancelled). Empty: never.
  std::function<bool()> stop = {};
};

struct HttpRequest {
  std::string url;
  std::string token = {};            ///< bearer token; sent only to the host of `url`, not where it redirects to
  std::uint64_t range_begin = 0;     ///< first byte to send; 0: the whole document
  std::chrono::seconds max_time{0};  ///< of the transfer; 0: no limit
};

struct HttpResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  /// Of Content-Length; none where the server did not say.
  std::optional<std::uint64_t> content_length() const;
  /// Empty where there is no such header. @param name  in lower case
  std::string header(const std::string& name) const;
};

/// A number of bytes in decimal digits; none where the text is something else.
std::optional<std::uint64_t> parse_length(std::string_view text);

/// A failure that another attempt may not have: a broken connection, a slow transfer, status 429 or 5xx.
struct TransientFailure : std::runtime_error {
  TransientFailure(const std::string& message, std::optional<std::chrono::seconds> wanted_pause = std::nullopt)
      : std::runtime_error(message), retry_after(wanted_pause) {}
  std::optional<std::chrono::seconds> retry_after;  ///< as the server asked
};

/// Receives a document. What it throws ends the transfer and reaches the caller.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// Before the first write; only for status 200 and 206.
  virtual void begin(const HttpResponse& response) = 0;
  virtual void write(std::string_view bytes) = 0;
};

/// The address that `reference` stands for in a document at `base`; empty where one of them is malformed.
std::string absolute_address(const std::string& base, const std::string& reference);

/// Uses the proxies that HTTPS_PROXY, https_proxy, http_proxy and NO_PROXY name, and the certificates of the system, or
/// those in the file that SSL_CERT_FILE names. Not thread-safe.
class HttpClient {
 public:
  explicit HttpClient(TransferPolicy policy) : policy_(std::move(policy)) {}
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  const TransferPolicy& policy() const { return policy_; }

  /// One GET, redirects followed. Responses with a status other than 200 and 206 are returned without their body.
  /// @throws TransientFailure
  /// @throws Error(kCancelled)        TransferPolicy::stop returned true; the other functions throw it, too
  /// @throws Error(kUnavailable)      the certificate cannot be verified, there are too many redirects, or the document
  ///                                  has a content encoding
  /// @throws Error(kInvalidArgument)  not an address of http or https, or a redirect from https to http
  HttpResponse get(const HttpRequest& request, BodySink& sink) const;

  /// A small document, with retries.
  /// @param what  names the document in messages
  /// @throws Error(kUnavailable)  all attempts failed
  /// @throws Error(kCorruptData)  it is longer than max_bytes
  HttpResponse get_document(const HttpRequest& request, const std::string& what, std::size_t max_bytes,
                            std::string& body) const;

  /// Repeats `attempt` until it does not throw TransientFailure, at most policy().attempts times in a row without
  /// progress, with growing pauses.
  /// @param attempt  returns nothing; is asked for the bytes that it has got after each failure
  /// @throws Error(kUnavailable)  the last failure, or the server asks for a pause that is too long
  void with_retries(const std::string& what, const std::function<void()>& attempt,
                    const std::function<std::uint64_t()>& progress) const;

 private:
  HttpResponse get_once(const HttpRequest& request, BodySink& sink) const;

  TransferPolicy policy_;
};

}  // namespace easel::hub
