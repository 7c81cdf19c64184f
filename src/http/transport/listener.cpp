// A listening socket, an accept loop that nothing but stop() ends, and a fixed set of threads.
#include "http/transport/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "http/transport/address.h"

namespace easel::http {
namespace {

constexpr int kBacklog = 512;
constexpr std::size_t kMaxWaiting = 1024;  // beyond it connections stay in the kernel's backlog
constexpr std::chrono::milliseconds kPause{20};

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Error unavailable(const std::string& host, int port, const std::string& reason) {
  return Error(ErrorCode::kUnavailable, concat("cannot listen on ", host, " port ", port, ": ", reason));
}

Addresses resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure) throw unavailable(host, port, gai_strerror(failure));
  return Addresses(found, &freeaddrinfo);
}

// -1, with errno set, when this address cannot be had.
int listening_socket(const addrinfo& address) {
  const int socket =
      ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (socket < 0) return -1;
  const int on = 1;
  // So that a restart need not wait for the last run's connections; unlike SO_REUSEPORT it lets no second server in.
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket, address.ai_addr, address.ai_addrlen) == 0 && ::listen(socket, kBacklog) == 0) return socket;
  const int reason = errno;
  ::close(socket);
  errno = reason;
  return -1;
}

// sin_port and sin6_port lie at the same place.
int port_of(const sockaddr_storage& address) {
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

Listener::~Listener() {
  end_threads();
  if (listening_socket_ >= 0) ::close(listening_socket_);
  if (wake_ >= 0) ::close(wake_);
}

int Listener::bind() {
  const auto addresses = resolve(host_, port_);
  for (const auto* address = addresses.get(); address && listening_socket_ < 0; address = address->ai_next) {
    listening_socket_ = listening_socket(*address);
  }
  if (listening_socket_ < 0) throw unavailable(host_, port_, std::strerror(errno));
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) throw unavailable(host_, port_, std::strerror(errno));
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(listening_socket_, reinterpret_cast<sockaddr*>(&bound), &length);
  loopback_ = is_loopback(address_text(bound));
  start_threads();
  return port_of(bound);
}

void Listener::start_threads() {
  try {
    while (threads_.size() < thread_count_) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& failure) {
    const auto started = threads_.size();
    end_threads();
    throw Error(ErrorCode::kUnavailable, concat("cannot serve with ", thread_count_, " threads, the system gave ",
                                                started, ": ", failure.code().message(),
                                                "; allow more (ulimit -u), or fewer waiting requests (--max-waiting)"));
  }
}

void Listener::end_threads() {
  {
    const std::lock_guard lock(waiting_mutex_);
    closed_ = true;
  }
  waiting_changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Listener::run() {
  accept_until_stopped();
  ::close(std::exchange(listening_socket_, -1));  // who connects from now on is refused instead of kept waiting
  end_threads();
}

void Listener::stop() {
  stopping_ = true;
  const std::uint64_t one = 1;
  if (wake_ >= 0 && ::write(wake_, &one, sizeof one) < 0) log::error("the listener could not be woken");
}

void Listener::accept_until_stopped() {
  while (!stopping_) {
    const bool full = waiting_count_ >= kMaxWaiting;
    // A negative descriptor is left out by poll.
    std::array<pollfd, 2> pollers{{{wake_, POLLIN, 0}, {full ? -1 : listening_socket_, POLLIN, 0}}};
    ::poll(pollers.data(), pollers.size(), full ? static_cast<int>(kPause.count()) : -1);
    if (!pollers[1].revents) continue;
    const int socket = ::accept4(listening_socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket >= 0) {
      hand_over(socket);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the backlog; without a pause the loop would spin on it.
      log::warning(concat("a connection has to wait: ", std::strerror(errno)));
      std::this_thread::sleep_for(kPause);
    }
    // Any other failure was that one connection's.
  }
}

void Listener::hand_over(int socket) {
  {
    const std::lock_guard lock(waiting_mutex_);
    waiting_.push_back(socket);
    waiting_count_ = waiting_.size();
  }
  waiting_changed_.notify_one();
}

void Listener::work() {
  while (true) {
    int socket = -1;
    {
      std::unique_lock lock(waiting_mutex_);
      ++free_threads_;
      waiting_changed_.wait(lock, [this] { return !waiting_.empty() || closed_; });
      --free_threads_;
      if (waiting_.empty()) return;
      socket = waiting_.front();
      waiting_.pop_front();
      waiting_count_ = waiting_.size();
    }
    serve_(socket);
  }
}

}  // namespace easel::http
