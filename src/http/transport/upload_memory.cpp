#include "http/transport/upload_memory.h"

#include <algorithm>
#include <iterator>

#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

// Taken at a time by a body whose length is not declared.
constexpr std::size_t kPortion = std::size_t{8} << 20;

ProtocolError no_memory() {
  return ProtocolError({.status = 429,
                        .message = "The server is receiving as many uploads as it has memory for; try again later.",
                        .close = true});
}

ProtocolError server_ends() {
  return ProtocolError({.status = 503, .message = "The server is shutting down.", .close = true});
}

}  // namespace

bool UploadMemory::fits(const Waiting& request) const {
  if (usage_.used() + request.bytes > usage_.total()) return false;
  if (!request.small && !usage_.leaves_a_quarter(request.bytes)) return false;
  if (usage_.of(request.account) == 0 || usage_.is_within_half(request.account, request.bytes)) return true;
  return std::none_of(waiting_.begin(), waiting_.end(),
                      [&](const Waiting& other) { return other.account != request.account; });
}

// An earlier request that does not fit holds back the later ones of its size, so that large ones are not starved by
// smaller ones, unless only its account is at fault.
bool UploadMemory::is_next(std::list<Waiting>::const_iterator request) const {
  if (!fits(*request)) return false;
  for (auto earlier = waiting_.begin(); earlier != request; ++earlier) {
    const bool own_fault = usage_.of(earlier->account) > 0 && !usage_.is_within_half(earlier->account, earlier->bytes);
    if (earlier->small == request->small && !own_fault) return false;
  }
  return true;
}

bool UploadMemory::take(const std::string& account, std::size_t held, std::size_t bytes) {
  const auto until = std::chrono::steady_clock::now() + wait_;
  const MutexLock lock(mutex_);
  waiting_.push_back({account, bytes, held + bytes <= kSmallBody});
  const auto own = std::prev(waiting_.end());
  bool next = is_next(own);
  while (!next && !ending_ && changed_.wait_until(mutex_, until)) next = is_next(own);
  waiting_.erase(own);
  if (next) usage_.add(account, bytes);
  changed_.notify_all();  // whether it got memory or has left, another one may be the next
  return next;
}

void UploadMemory::give_back(const std::string& account, std::size_t bytes) {
  if (bytes == 0) return;
  const MutexLock lock(mutex_);
  usage_.remove(account, bytes);
  changed_.notify_all();
}

void UploadMemory::end_waiting() {
  const MutexLock lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

bool UploadMemory::is_ending() const {
  const MutexLock lock(mutex_);
  return ending_;
}

void BudgetedClient::take(std::size_t bytes) {
  if (!memory_.take(account_, held_, bytes)) throw memory_.is_ending() ? server_ends() : no_memory();
  held_ += bytes;
}

void BudgetedClient::receive_body(std::size_t max_bytes, const Sink& sink) {
  const auto limit = std::min(max_bytes, memory_.max_body());
  // A declared length above the limit is refused by the client, before anything is read.
  if (!head_.chunked && head_.body_bytes > 0 && head_.body_bytes <= limit) {
    take(static_cast<std::size_t>(head_.body_bytes));
  }
  if (!head_.chunked) return client_.receive_body(limit, sink);
  std::size_t received = 0;
  take(std::min(kPortion, limit));
  client_.receive_body(limit, [&](std::string_view piece) {
    received += piece.size();
    if (received > held_) take(std::min(kPortion, limit - held_));
    sink(piece);
  });
}

}  // namespace easel::http
