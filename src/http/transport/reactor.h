// The event loop in front of the workers: it accepts connections and holds them while they wait for their clients.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/transport/connection.h"
#include "http/transport/listening_socket.h"
#include "http/transport/request_handler.h"
#include "http/transport/timeouts.h"
#include "http/transport/worker_pool.h"

namespace easel::http {

/// Connections take no thread while they are silent, send a head, or are read to their end after an error. Only
/// complete heads go to the workers. The number of connections is bounded: when it is reached, the connection that has
/// been waiting longest for its client, of the address with the most connections, makes place for a new one.
///
/// listen(), then run() on one thread; stop() from any.
class Reactor {
 public:
  /// @param handler  must outlive it
  Reactor(const ConnectionTimeouts& timeouts, RequestHandler& handler);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// @param threads   to start with
  /// @param reserved  threads that should be free for requests that need not wait for their clients
  /// @return the port listened on
  /// @throws Error(kUnavailable)  the address cannot be taken, or the system has no more threads
  int listen(const std::string& host, int port, std::size_t threads, std::size_t reserved);

  /// Accepts until stop(), then returns when every connection has ended.
  void run();
  void stop();

  Pressure pressure() const;

 private:
  using Clock = std::chrono::steady_clock;
  using State = Connection::State;
  using Returned = std::pair<std::unique_ptr<Connection>, State>;

  void serve(std::unique_ptr<Connection> connection);
  void wake() const;
  bool watch(int descriptor) const;

  bool finished() const { return stopping_ && connections_ == 0; }
  void run_once();
  void handle(const epoll_event& event);
  void accept_connections();
  bool accept_one();
  void add(int descriptor);
  void pause_accepting(const char* reason);
  void take_back();
  void proceed(std::unique_ptr<Connection> connection, State state);
  bool evict_one();
  void sweep(Clock::time_point now);
  void begin_stop();
  std::unique_ptr<Connection> take_waiting(int descriptor);

  const ConnectionTimeouts timeouts_;
  RequestHandler& handler_;
  ListeningSocket listening_;
  std::size_t max_connections_ = 0;
  int epoll_ = -1;
  int wake_ = -1;  // eventfd: readable when a worker gave something back, or stop() was called
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> full_ = false;  // no connection can make place for a new one

  std::mutex returned_mutex_;  // guards returned_
  std::vector<Returned> returned_;

  // Of the thread in run():
  std::unordered_map<int, std::unique_ptr<Connection>> waiting_;  // by socket
  std::unordered_map<std::string, std::size_t> per_address_;      // connections, those with workers included
  std::size_t connections_ = 0;
  Clock::time_point next_sweep_{};
  bool accepting_ = false;
  Clock::time_point accept_again_at_{};  // while not accepting_
  Clock::time_point next_warning_{};

  WorkerPool workers_;  // last: its threads use all of the above
};

}  // namespace easel::http
