// How much of a limited memory each account holds.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace easel::http {

/// Counts bytes by account. Not thread-safe.
class AccountUsage {
 public:
  explicit AccountUsage(std::size_t total) : total_(total) {}

  std::size_t total() const { return total_; }
  std::size_t used() const { return used_; }
  std::size_t of(const std::string& account) const {
    const auto held = held_.find(account);
    return held == held_.end() ? 0 : held->second;
  }
  /// Whether an account that takes so many bytes more would hold at most half of the total.
  bool is_within_half(const std::string& account, std::size_t more) const { return of(account) + more <= total_ / 2; }
  /// Whether at least a quarter of the total is free after so many bytes more.
  bool leaves_a_quarter(std::size_t more) const { return used_ + more <= total_ - total_ / 4; }

  void add(const std::string& account, std::size_t bytes) {
    used_ += bytes;
    held_[account] += bytes;
  }
  /// @param bytes  at most what the account holds
  void remove(const std::string& account, std::size_t bytes) {
    used_ -= bytes;
    const auto held = held_.find(account);
    held->second -= bytes;
    if (held->second == 0) held_.erase(held);
  }

 private:
  const std::size_t total_;
  std::size_t used_ = 0;
  std::map<std::string, std::size_t> held_;  // never 0
};

}  // namespace easel::http
