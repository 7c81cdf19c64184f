// The only user of libcurl.
#include "hub/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <limits>
#include <memory>
#include <thread>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "hub/reference.h"

namespace easel::hub {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxHeaderBytes = 64 << 10;

using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

bool is_document(long status) {
  return status == 200 || status == 206;
}

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What the callbacks of one transfer share.
struct Transfer {
  CURL* curl;
  BodySink& sink;
  std::string host;
  HttpResponse response = {};
  std::size_t header_bytes = 0;
  bool begun = false;
  std::exception_ptr failure = nullptr;
};

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size);
  transfer.header_bytes += size;
  if (transfer.header_bytes > kMaxHeaderBytes) return 0;
  if (line.starts_with("HTTP/")) {
    transfer.response.headers.clear();  // the headers so far were those of a proxy or of an informational response
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers[lower_case(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  }
  return size;
}

/// The checksums and ranges of a file are those of its own bytes, so easel asks for no encoding and takes none.
void check_encoding(const HttpResponse& response, const std::string& host) {
  const auto encoding = response.header("content-encoding");
  if (encoding.empty() || lower_case(encoding) == "identity") return;
  throw Error(ErrorCode::kUnavailable,
              concat(host, " responds in the encoding ", quote(escape_control_characters(encoding)),
                     ", which easel has not asked for"));
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &transfer.response.status);
  if (!is_document(transfer.response.status)) return 0;  // the body of an error is not needed
  try {
    if (!transfer.begun) {
      check_encoding(transfer.response, transfer.host);
      transfer.sink.begin(transfer.response);
    }
    transfer.begun = true;
    transfer.sink.write({data, size});
    return size;
  } catch (...) {
    transfer.failure = std::current_exception();
    return 0;
  }
}

std::string part_of(const std::string& url, CURLUPart part) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* text = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) {
    return "";
  }
  std::string result(text);
  curl_free(text);
  return result;
}

/// Scheme, host and port: what a token is valid for.
std::string origin_of(const std::string& url) {
  return concat(part_of(url, CURLUPART_SCHEME), "://", lower_case(part_of(url, CURLUPART_HOST)), ":",
                part_of(url, CURLUPART_PORT));
}

/// @param text  a number of seconds or a date
std::optional<std::chrono::seconds> parse_retry_after(const std::string& text) {
  if (text.empty()) return std::nullopt;
  long seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_number = end == text.data() + text.size();
  if (is_number && error == std::errc::result_out_of_range) seconds = std::numeric_limits<long>::max();
  if (!is_number) {
    const auto date = curl_getdate(text.c_str(), nullptr);
    if (date < 0) return std::nullopt;
    seconds = std::max<long>(0, date - std::time(nullptr));
  }
  return seconds < 0 ? std::nullopt : std::optional(std::chrono::seconds(seconds));
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return (*static_cast<const std::function<bool()>*>(user))() ? 1 : 0;
}

Error stopped(const std::string& what) {
  return {ErrorCode::kCancelled, concat("the download of ", what, " was stopped")};
}

/// @throws Error(kCancelled)  `stop` returned true
void pause_for(std::chrono::milliseconds time, const std::function<bool()>& stop, const std::string& what) {
  constexpr std::chrono::milliseconds kSlice{100};
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    if (stop && stop()) throw stopped(what);
    std::this_thread::sleep_for(stop ? kSlice : time);
  }
}

[[noreturn]] void throw_curl_error(CURLcode code, const char* detail, const std::string& host) {
  const std::string reason = *detail != '\0' ? detail : curl_easy_strerror(code);
  if (code == CURLE_SSL_CACERT_BADFILE) {
    throw Error(ErrorCode::kUnavailable,
                concat("the certificate of ", host, " cannot be verified: ", reason,
                       "; install the package ca-certificates, or set SSL_CERT_FILE to a file of certificates"));
  }
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    throw Error(ErrorCode::kUnavailable, concat("the certificate of ", host, " cannot be verified: ", reason));
  }
  if (code == CURLE_UNSUPPORTED_PROTOCOL && reason.find("HTTP/0.9") != std::string::npos) {
    throw TransientFailure(concat(host, " does not answer in HTTP"));
  }
  if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT) {
    throw Error(ErrorCode::kInvalidArgument, concat("the address is malformed: ", reason));
  }
  throw TransientFailure(concat(host, ": ", escape_control_characters(reason)));
}

void check_redirect(const std::string& from, const std::string& to) {
  const auto scheme = part_of(to, CURLUPART_SCHEME);
  const bool downgrade = scheme == "http" && part_of(from, CURLUPART_SCHEME) == "https";
  if ((scheme == "https" || scheme == "http") && !downgrade) return;
  throw Error(ErrorCode::kInvalidArgument, concat(part_of(from, CURLUPART_HOST), " redirects to ",
                                                  downgrade ? "an address without encryption" : "an invalid address",
                                                  ", which easel does not follow"));
}

/// Collects a document in memory.
class StringSink : public BodySink {
 public:
  StringSink(std::string& body, std::size_t max_bytes, const std::string& what)
      : body_(body), max_bytes_(max_bytes), what_(what) {}
  void begin(const HttpResponse&) override { body_.clear(); }
  void write(std::string_view bytes) override {
    if (body_.size() + bytes.size() > max_bytes_) {
      throw Error(ErrorCode::kCorruptData, concat(what_, " has more than ", max_bytes_, " bytes"));
    }
    body_ += bytes;
  }

 private:
  std::string& body_;
  std::size_t max_bytes_;
  std::string what_;
};

}  // namespace

std::string absolute_address(const std::string& base, const std::string& reference) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* text = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(parsed.get(), CURLUPART_URL, reference.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
    return "";
  }
  std::string result(text);
  curl_free(text);
  return result;
}

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::optional<std::uint64_t> HttpResponse::content_length() const {
  return parse_length(header("content-length"));
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return length;
}

HttpResponse HttpClient::get_once(const HttpRequest& request, BodySink& sink) const {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Handle handle(curl_easy_init(), &curl_easy_cleanup);
  if (initialized != CURLE_OK || handle == nullptr) throw Error(ErrorCode::kInternal, "libcurl cannot be initialized");
  auto* curl = handle.get();
  Transfer transfer{.curl = curl, .sink = sink, .host = part_of(request.url, CURLUPART_HOST)};
  char detail[CURL_ERROR_SIZE] = "";
  HeaderList headers(curl_slist_append(nullptr, "Accept-Encoding: identity"), &curl_slist_free_all);
  if (!request.token.empty()) {  // appended to the list, whose head stays the same
    curl_slist_append(headers.get(), concat("Authorization: Bearer ", request.token).c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "easel");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(policy_.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, policy_.slow_rate);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(policy_.slow_time.count()));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  const auto range = concat(request.range_begin, "-");
  if (request.range_begin > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(request.max_time.count()));
  const char* certificates = std::getenv("SSL_CERT_FILE");
  if (certificates != nullptr && *certificates != '\0') curl_easy_setopt(curl, CURLOPT_CAINFO, certificates);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (policy_.stop) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &policy_.stop);
  }
  const auto code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.response.status);
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (code == CURLE_ABORTED_BY_CALLBACK) throw stopped(transfer.host);
  const bool has_status = transfer.response.status != 0 && !is_document(transfer.response.status);
  if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && has_status)) {
    throw_curl_error(code, detail, transfer.host);
  }
  if (is_document(transfer.response.status) && !transfer.begun) sink.begin(transfer.response);  // an empty document
  return std::move(transfer.response);
}

HttpResponse HttpClient::get(const HttpRequest& request, BodySink& sink) const {
  auto hop = request;
  for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
    auto response = get_once(hop, sink);
    if (is_redirect(response.status)) {
      const auto location = response.header("location");
      const auto target = location.empty() ? "" : absolute_address(hop.url, location);
      check_redirect(hop.url, target);
      if (origin_of(target) != origin_of(hop.url)) hop.token.clear();
      hop.url = target;
      continue;
    }
    if (response.status == 429 || response.status >= 500) {
      throw TransientFailure(concat(part_of(hop.url, CURLUPART_HOST), " responds with status ", response.status),
                             parse_retry_after(response.header("retry-after")));
    }
    return response;
  }
  throw Error(ErrorCode::kUnavailable,
              concat(part_of(request.url, CURLUPART_HOST), " redirects more than ", kMaxRedirects, " times"));
}

void HttpClient::with_retries(const std::string& what, const std::function<void()>& attempt,
                              const std::function<std::uint64_t()>& progress) const {
  constexpr std::uint64_t kProgressBytes = 1 << 20;
  auto pause = policy_.first_pause;
  auto reached = progress();
  for (int failures = 0;;) {
    try {
      attempt();
      return;
    } catch (const TransientFailure& e) {
      const auto now = progress();
      if (now >= reached + kProgressBytes) {
        failures = 0;
        pause = policy_.first_pause;
      }
      reached = std::max(reached, now);
      if (e.retry_after && *e.retry_after > policy_.max_retry_after) {
        throw Error(ErrorCode::kUnavailable, concat(what, " cannot be fetched now: ", e.what(), " and asks to wait ",
                                                    e.retry_after->count(), " seconds"));
      }
      if (++failures >= policy_.attempts) {
        throw Error(ErrorCode::kUnavailable,
                    concat(what, " cannot be fetched: ", e.what(), " (", failures, " attempts)"));
      }
      log::debug("trying again", {{"what", what}, {"after", e.what()}});
      pause_for(e.retry_after ? std::chrono::milliseconds(*e.retry_after) : pause, policy_.stop, what);
      pause *= 4;
    }
  }
}

HttpResponse HttpClient::get_document(const HttpRequest& request, const std::string& what, std::size_t max_bytes,
                                      std::string& body) const {
  HttpResponse response;
  StringSink sink(body, max_bytes, what);
  auto limited = request;
  limited.max_time = policy_.document_time;
  with_retries(what, [&] { response = get(limited, sink); }, [] { return std::uint64_t{0}; });
  return response;
}

}  // namespace easel::hub
