#include "hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "core/digest.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

std::uint64_t size_of(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
}

std::string partial_path(const Download& file) {
  return file.path + ".partial";
}

/// The unfinished file with the checksum of its bytes so far.
class PartialFile {
 public:
  PartialFile(const Download& file, const BytesReceived& received) : file_(file), received_(received) {
    // Without blocking, should something else than a file be in the way.
    descriptor_ = open(partial_path(file).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (descriptor_ < 0) throw disk_error(errno);
    try {
      check_is_file();
      restart_digest();
      read_existing();
    } catch (...) {
      close(descriptor_);
      throw;
    }
  }
  ~PartialFile() { close(descriptor_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::uint64_t size() const { return size_; }

  void append(std::string_view bytes) {
    if (file_.size && size_ + bytes.size() > *file_.size) {
      throw Error(ErrorCode::kCorruptData, concat(file_.name, " has more than the expected ", *file_.size, " bytes"));
    }
    for (auto rest = bytes; !rest.empty();) {
      const auto written = write(descriptor_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw disk_error(errno);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    add(bytes);
  }

  void discard() {
    if (ftruncate(descriptor_, 0) != 0 || lseek(descriptor_, 0, SEEK_SET) != 0) throw disk_error(errno);
    received_(-static_cast<std::int64_t>(size_));
    size_ = 0;
    restart_digest();
  }

  /// Whether size and checksum are the expected ones. Call once after the last append().
  bool is_good() {
    if (file_.size && size_ != *file_.size) return false;
    const auto expected = !file_.sha256.empty() ? file_.sha256 : file_.git_id;
    return expected.empty() || digest_->finish_hex() == expected;
  }

  void finish() {
    if (fsync(descriptor_) != 0 || std::rename(partial_path(file_).c_str(), file_.path.c_str()) != 0) {
      throw disk_error(errno);
    }
  }

 private:
  void check_is_file() const {
    struct stat status;
    if (fstat(descriptor_, &status) != 0) throw disk_error(errno);
    if (S_ISREG(status.st_mode)) return;
    throw Error(ErrorCode::kInvalidArgument, concat(partial_path(file_), " is in the way; easel expects a file there"));
  }
  Error disk_error(int reason) const {
    return {reason == ENOSPC || reason == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
            concat("cannot write ", file_.path, ": ", std::strerror(reason))};
  }
  void restart_digest() {
    const bool by_git_id = file_.sha256.empty() && !file_.git_id.empty();
    digest_ = std::make_unique<Digest>(by_git_id ? DigestKind::kSha1 : DigestKind::kSha256);
    // Git's id of a file is the SHA-1 of "blob SIZE\0" and the contents.
    if (by_git_id) digest_->update(concat("blob ", file_.size.value_or(0), '\0'));
  }
  void read_existing() {
    std::array<char, 1 << 16> buffer;
    for (;;) {
      const auto got = read(descriptor_, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw disk_error(errno);
      if (got == 0) break;
      add({buffer.data(), static_cast<std::size_t>(got)});
    }
    if (file_.size && size_ > *file_.size) discard();
  }
  void add(std::string_view bytes) {
    digest_->update(bytes);
    size_ += bytes.size();
    received_(static_cast<std::int64_t>(bytes.size()));
  }

  const Download& file_;
  const BytesReceived& received_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::unique_ptr<Digest> digest_;
};

/// Appends a response to the partial file, or replaces its contents when the server sends the whole file.
class AppendingSink : public BodySink {
 public:
  AppendingSink(const Download& file, PartialFile& partial, bool& use_ranges)
      : file_(file), partial_(partial), use_ranges_(use_ranges) {}

  void begin(const HttpResponse& response) override {
    if (response.status == 200 && partial_.size() > 0) partial_.discard();
    if (response.status == 206) check_range(response.header("content-range"));
    const bool has_changed = (!file_.etag.empty() && response.header("etag") != file_.etag) ||
                             (!file_.last_modified.empty() && response.header("last-modified") != file_.last_modified);
    if (has_changed) {
      throw Error(ErrorCode::kCorruptData, concat(file_.name, " has changed on the server; run the command again"));
    }
    // A part that is shorter than what was asked for is followed by another request.
    if (response.status == 200) check_size(response.content_length());
  }
  void write(std::string_view bytes) override { partial_.append(bytes); }

 private:
  /// @param range  as RFC 9110 has it: "bytes FIRST-LAST/LENGTH", or * for a length that the server does not know
  void check_range(const std::string& range) {
    if (!range.starts_with(concat("bytes ", partial_.size(), "-"))) {
      use_ranges_ = false;
      partial_.discard();
      throw TransientFailure("the server answers a range request with other bytes");
    }
    check_size(parse_length(range.substr(range.find('/') + 1)));
  }
  void check_size(std::optional<std::uint64_t> size) const {
    if (!file_.size || !size || *size == *file_.size) return;
    throw Error(ErrorCode::kCorruptData, concat(file_.name, " has ", *size, " bytes, expected ", *file_.size));
  }

  const Download& file_;
  PartialFile& partial_;
  bool& use_ranges_;
};

void check_status(const HttpResponse& response, const Download& file) {
  if (response.status == 200 || response.status == 206) return;
  if (response.status == 404) throw Error(ErrorCode::kNotFound, concat("the server has no file ", file.name));
  if (!file.terms.empty() && (response.status == 401 || response.status == 403)) {
    throw Error(ErrorCode::kUnavailable,
                concat(file.name, " is only available to users who accept the terms of its repository: accept them at ",
                       file.terms, " and set HF_TOKEN to a token of your account"));
  }
  throw Error(ErrorCode::kUnavailable, concat("the server refuses ", file.name, " with status ", response.status,
                                              file.token.empty() ? "; it may need a token" : ""));
}

void fetch(const HttpClient& client, const Download& file, PartialFile& partial) {
  bool use_ranges = true;
  const auto attempt = [&] {
    if (!use_ranges && partial.size() > 0) partial.discard();
    if (file.size && partial.size() == *file.size && *file.size > 0) return;
    AppendingSink sink(file, partial, use_ranges);
    const auto response = client.get({.url = file.url, .token = file.token, .range_begin = partial.size()}, sink);
    if (response.status == 416) {
      use_ranges = false;
      throw TransientFailure("the server refuses to continue the file");
    }
    check_status(response, file);
    if (file.size && partial.size() < *file.size) throw TransientFailure("the connection was closed early");
  };
  client.with_retries(file.name, attempt, [&] { return partial.size(); });
}

}  // namespace

std::uint64_t bytes_on_disk(const Download& file) {
  return size_of(file.path) + size_of(partial_path(file));
}

void download(const HttpClient& client, const Download& file, const BytesReceived& received) {
  if (const auto there = size_of(file.path); file.size && there == *file.size && there > 0) {
    received(static_cast<std::int64_t>(there));
    return;
  }
  PartialFile partial(file, received);
  for (bool again = false;; again = true) {
    fetch(client, file, partial);
    if (partial.is_good()) break;
    partial.discard();
    if (again) throw Error(ErrorCode::kCorruptData, concat(file.name, " does not have the expected checksum"));
    log::warning(concat(file.name, " does not have the expected checksum; fetching it once more"));
  }
  partial.finish();
}

}  // namespace easel::hub
