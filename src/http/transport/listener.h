// Accepts connections and hands each to a thread of its own for as long as it lasts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace easel::http {

/// bind, then run on one thread; stop, crowded and stopping from any. Ends its threads when destroyed.
class Listener {
 public:
  /// Serves one connection to its end, and closes its socket. Called from many threads; must not throw.
  using Serve = std::function<void(int socket)>;

  Listener(std::string host, int port, std::size_t threads, Serve serve)
      : host_(std::move(host)), port_(port), thread_count_(threads), serve_(std::move(serve)) {}
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Takes the address and starts the threads. Call once.
  /// @return the port, chosen by the system if 0 was asked for
  /// @throws Error(kUnavailable)  the address cannot be had, or the system has no more threads
  int bind();
  /// True when only this machine can connect. After bind.
  bool loopback() const { return loopback_; }

  /// Accepts until stop(), then returns when every connection has ended.
  void run();
  void stop();

  bool stopping() const { return stopping_; }
  /// True while a connection waits and no thread is free to take it: idle ones should give way.
  bool saturated() const { return waiting_count_ > free_threads_; }

 private:
  void accept_until_stopped();
  void hand_over(int socket);
  void start_threads();
  void end_threads();
  void work();

  const std::string host_;
  const int port_;
  const std::size_t thread_count_;
  const Serve serve_;
  int listening_socket_ = -1;
  int wake_ = -1;  // eventfd: readable once stop() was called
  bool loopback_ = false;
  std::atomic<bool> stopping_ = false;

  std::mutex waiting_mutex_;  // guards waiting_ and closed_
  std::condition_variable waiting_changed_;
  std::deque<int> waiting_;  // accepted sockets without a thread
  bool closed_ = false;      // no more will come
  std::atomic<std::size_t> waiting_count_ = 0;
  std::atomic<std::size_t> free_threads_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace easel::http
