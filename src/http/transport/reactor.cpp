// epoll, level-triggered: a connection is watched while it waits for its client, and not while a worker serves it.
#include "http/transport/reactor.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

// Waiting for slow clients takes threads; each costs some tens of kilobytes.
constexpr std::size_t kThreadsForSlowClients = 1024;
constexpr std::size_t kMaxConnections = 4096;       // each holds up to 64 KiB of a head
constexpr std::size_t kDescriptorsForOthers = 256;  // models, logs, key files
constexpr milliseconds kSweepInterval{50};
constexpr milliseconds kAcceptPause{10};
constexpr milliseconds kGrace{50};  // for a new client to send its request before another may take its place
constexpr std::chrono::seconds kWarningInterval{1};
constexpr int kAcceptsPerTurn = 16;

std::size_t connection_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxConnections;
  const auto descriptors = static_cast<std::size_t>(limit.rlim_cur);
  return std::clamp<std::size_t>(descriptors - std::min(descriptors / 2, kDescriptorsForOthers), 1, kMaxConnections);
}

Error system_failure(const char* what) {
  return Error(ErrorCode::kUnavailable, concat("cannot serve: ", what, ": ", std::strerror(errno)));
}

}  // namespace

Reactor::Reactor(const ConnectionTimeouts& timeouts, RequestHandler& handler)
    : timeouts_(timeouts),
      handler_(handler),
      workers_([this](std::unique_ptr<Connection> connection) { serve(std::move(connection)); }) {}

Reactor::~Reactor() {
  workers_.end();
  if (wake_ >= 0) ::close(wake_);
  if (epoll_ >= 0) ::close(epoll_);
}

int Reactor::listen(const std::string& host, int port, std::size_t threads, std::size_t reserved) {
  const int bound = listening_.bind(host, port);
  max_connections_ = connection_limit();
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll_ < 0 || wake_ < 0 || !watch(wake_)) throw system_failure("epoll");
  workers_.start(threads, threads + kThreadsForSlowClients, reserved);
  return bound;
}

Pressure Reactor::pressure() const {
  if (stopping_) return Pressure::kStopping;
  return full_ || workers_.is_scarce() ? Pressure::kScarce : Pressure::kNone;
}

void Reactor::stop() {
  stopping_ = true;
  if (wake_ >= 0) wake();
}

void Reactor::wake() const {
  const std::uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) < 0 && errno != EAGAIN) log::error("the event loop could not be woken");
}

bool Reactor::watch(int descriptor) const {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = descriptor;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

// ---- on the workers

void Reactor::serve(std::unique_ptr<Connection> connection) {
  auto state = State::kEnded;
  try {
    do {
      state = connection->serve(handler_);
    } while (state == State::kReady && !workers_.has_queue());
  } catch (const std::exception& error) {
    log::error(concat("a connection was dropped: ", error.what()));
  }
  {
    const std::lock_guard lock(returned_mutex_);
    returned_.emplace_back(std::move(connection), state);
  }
  wake();
}

// ---- on the thread of run()

void Reactor::run() {
  while (!finished()) {
    try {
      run_once();
    } catch (const std::exception& error) {  // no memory, say: what can be served is served
      log::error(concat("the event loop failed: ", error.what()));
    }
  }
  listening_.close();
  workers_.end();
}

void Reactor::run_once() {
  const auto now = Clock::now();
  if (now >= next_sweep_) sweep(now);
  if (!accepting_ && !stopping_ && now >= accept_again_at_) accepting_ = watch(listening_.descriptor());
  std::array<epoll_event, 64> events;
  const auto timeout = accepting_ ? kSweepInterval : kAcceptPause;
  const int count =
      ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), static_cast<int>(timeout.count()));
  for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)]);
  take_back();
  if (stopping_ && listening_.descriptor() >= 0) begin_stop();
}

void Reactor::handle(const epoll_event& event) {
  const int descriptor = event.data.fd;
  if (descriptor == wake_) {
    std::uint64_t count = 0;
    if (::read(wake_, &count, sizeof count) < 0) return;
  } else if (descriptor == listening_.descriptor()) {
    accept_connections();
  } else if (const auto found = waiting_.find(descriptor); found != waiting_.end()) {
    const auto state = found->second->receive();
    if (state != State::kWaiting) proceed(take_waiting(descriptor), state);
  }
}

std::unique_ptr<Connection> Reactor::take_waiting(int descriptor) {
  auto node = waiting_.extract(descriptor);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
  return std::move(node.mapped());
}

void Reactor::accept_connections() {
  for (int i = 0; i < kAcceptsPerTurn && accepting_ && accept_one(); ++i) {
  }
}

// False when there is none to accept, or accepting has to pause.
bool Reactor::accept_one() {
  if (connections_ >= max_connections_ && !evict_one()) {
    full_ = waiting_.empty();
    pause_accepting("all connections are in use");
    return false;
  }
  const int descriptor = ::accept4(listening_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (descriptor >= 0) {
    add(descriptor);
    return true;
  }
  if (errno == EAGAIN) return false;
  if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return true;  // that connection's own
  const char* reason = std::strerror(errno);
  if (!evict_one()) pause_accepting(reason);
  return accepting_;
}

void Reactor::add(int descriptor) {
  Socket socket(descriptor);
  auto connection = std::make_unique<Connection>(std::move(socket), timeouts_, [this] { return pressure(); });
  ++per_address_[connection->address()];
  ++connections_;
  // A request that is already there must not wait behind other connections, which might take this one's place.
  const auto state = connection->receive();
  proceed(std::move(connection), state);
}

// The connections that come meanwhile stay in the kernel's backlog; without a pause the loop would spin on them.
void Reactor::pause_accepting(const char* reason) {
  const auto now = Clock::now();
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, listening_.descriptor(), nullptr);
  accepting_ = false;
  accept_again_at_ = now + kAcceptPause;
  if (now < next_warning_) return;
  next_warning_ = now + kWarningInterval;
  log::warning(concat("connections have to wait: ", reason));
}

// The one that has been waiting longest, of the address with the most connections. False when none has been waiting
// long enough.
bool Reactor::evict_one() {
  const auto rank = [this](const Connection& connection) {
    return std::pair(per_address_.at(connection.address()), -connection.waiting_since().time_since_epoch());
  };
  const auto victim = std::max_element(waiting_.begin(), waiting_.end(),
                                       [&](const auto& a, const auto& b) { return rank(*a.second) < rank(*b.second); });
  if (victim == waiting_.end() || victim->second->waiting_since() + kGrace > Clock::now()) return false;
  proceed(take_waiting(victim->first), State::kEnded);
  return true;
}

// Workers give back every connection, so that all of them are counted and destroyed here.
void Reactor::take_back() {
  std::vector<Returned> returned;
  {
    const std::lock_guard lock(returned_mutex_);
    returned.swap(returned_);
  }
  for (auto& [connection, state] : returned) proceed(std::move(connection), state);
}

void Reactor::proceed(std::unique_ptr<Connection> connection, State state) {
  if (state == State::kWaiting && stopping_ && !connection->is_lingering()) state = State::kEnded;
  switch (state) {
    case State::kWaiting: {
      const int descriptor = connection->descriptor();
      if (!watch(descriptor)) return proceed(std::move(connection), State::kEnded);
      waiting_.emplace(descriptor, std::move(connection));
      break;
    }
    case State::kReady:
      workers_.submit(std::move(connection));
      break;
    case State::kEnded: {
      full_ = false;
      --connections_;
      const auto address = per_address_.find(connection->address());
      if (--address->second == 0) per_address_.erase(address);
      break;
    }
  }
}

void Reactor::sweep(Clock::time_point now) {
  next_sweep_ = now + kSweepInterval;
  std::vector<std::pair<int, State>> due;
  for (const auto& [descriptor, connection] : waiting_) {
    if (const auto state = connection->check_deadline(now, pressure()); state != State::kWaiting)
      due.emplace_back(descriptor, state);
  }
  for (const auto& [descriptor, state] : due) proceed(take_waiting(descriptor), state);
}

// What waits for a request ends at once; what is read to its end after an error gets the time that it has.
void Reactor::begin_stop() {
  listening_.close();
  accepting_ = false;
  std::vector<int> ended;
  for (const auto& [descriptor, connection] : waiting_) {
    if (!connection->is_lingering()) ended.push_back(descriptor);
  }
  for (const int descriptor : ended) proceed(take_waiting(descriptor), State::kEnded);
}

}  // namespace easel::http
