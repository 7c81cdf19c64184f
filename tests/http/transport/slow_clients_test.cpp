// Crowds of slow clients, and how long others wait meanwhile. Every test makes one crowd of 33 to 1,300 connections on
// a real server, asks for /health and for images as an ordinary client does, and prints what it measured.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "core/log.h"
#include "core/text.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = 50ms;
constexpr auto kMeasured = 3s;
#if defined(__SANITIZE_THREAD__)
constexpr double kSlowdown = 4;  // of the crowd as well, which shares the processors with the server
#else
constexpr double kSlowdown = 1;
#endif
constexpr double kHealthP99Seconds = 0.5 * kSlowdown;
// Beyond the time of an image on an idle server, which is a few milliseconds here.
constexpr double kImageSeconds = 2.0 * kSlowdown;
constexpr char kGoodBody[] = R"({"prompt":"a cat"})";

/// One slow client: a non-blocking socket, and what it still has to send.
struct SlowClient {
  int socket = -1;
  std::string unsent;
  int ticks = 0;  // since it connected
};

/// What a client does every 50 ms: it adds to `unsent`.
using Behaviour = std::function<void(SlowClient& client)>;

/// Connections that behave alike, driven by one thread. Connections that the server closes are opened again.
class Crowd {
 public:
  Crowd(int port, std::size_t count, Behaviour behave) : port_(port), behave_(std::move(behave)), clients_(count) {
    thread_ = std::thread([this] { run(); });
  }
  ~Crowd() {
    ended_ = true;
    thread_.join();
    for (auto& client : clients_) ::close(client.socket);
  }

  std::size_t reopened() const { return reopened_; }

 private:
  void open(SlowClient& client) const {
    client = {};
    client.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int small = 4096;
    setsockopt(client.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    // Fails with EINPROGRESS, since the socket does not wait.
    (void)::connect(client.socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }

  // Never reads; a closed connection shows when it is written to, or at its end.
  static bool is_closed(SlowClient& client) {
    char byte = 0;
    const auto peeked = ::recv(client.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (peeked == 0) return true;
    if (peeked < 0 && errno != EAGAIN && errno != EINTR) return errno != ENOTCONN;
    if (client.unsent.empty()) return false;
    const auto sent = ::send(client.socket, client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) client.unsent.erase(0, static_cast<std::size_t>(sent));
    return sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN;
  }

  void run() {
    for (auto& client : clients_) open(client);
    while (!ended_) {
      for (auto& client : clients_) {
        behave_(client);
        ++client.ticks;
        if (!is_closed(client)) continue;
        ::close(client.socket);
        open(client);
        ++reopened_;
      }
      std::this_thread::sleep_for(kTick);
    }
  }

  const int port_;
  const Behaviour behave_;
  std::vector<SlowClient> clients_;
  std::atomic<bool> ended_ = false;
  std::atomic<std::size_t> reopened_ = 0;
  std::thread thread_;
};

double seconds_of(const std::function<void()>& work) {
  const auto started = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - started).count();
}

/// Asks for /health all the time and for an image now and then, each on a connection of its own.
void expect_ordinary_clients_are_served(const RunningServer& server, const char* crowd, const Crowd& clients) {
  std::this_thread::sleep_for(1s);  // until the crowd is there
  std::vector<double> health;
  double image = 0;
  const auto end = Clock::now() + kMeasured;
  while (Clock::now() < end) {
    health.push_back(seconds_of([&] { EXPECT_EQ(server.get("/health").status, 200); }));
    if (health.size() % 10 != 1) continue;
    image = std::max(image, seconds_of([&] { EXPECT_EQ(server.draw(kGoodBody).status, 200); }));
    std::this_thread::sleep_for(5ms);
  }
  std::sort(health.begin(), health.end());
  const auto p99 = health[health.size() * 99 / 100];
  std::printf("%s: /health p99 %.1f ms of %zu, slowest image %.1f ms, %zu connections opened again\n", crowd,
              p99 * 1000, health.size(), image * 1000, clients.reopened());
  EXPECT_LT(p99, kHealthP99Seconds);
  EXPECT_LT(image, kImageSeconds);
}

std::string upload_head(std::size_t bytes) {
  return concat(
      "POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n",
      "Content-Length: ", bytes, "\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n");
}

constexpr std::size_t kUploadBytes = 20'000'000;
constexpr std::size_t kUploadBytesPerTick = 4096;  // 80 KiB/s

void upload_slowly(SlowClient& client) {
  client.unsent += client.ticks == 0 ? upload_head(kUploadBytes) : std::string(kUploadBytesPerTick, 'x');
}

void ask_and_never_read(SlowClient& client) {
  if (client.unsent.size() > 10'000) return;
  for (int i = 0; i < 50; ++i) client.unsent += request_text("GET", "/v1/models");
}

void send_a_slow_head(SlowClient& client) {
  client.unsent += client.ticks == 0 ? "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " : "x";
}

void send_extensions(SlowClient& client) {
  if (client.ticks > 0) return;
  client.unsent = "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 525; ++i) client.unsent += "1;" + std::string(4000, 'e') + "\r\n{\r\n";
}

class SlowClients : public testing::Test {
 protected:
  SlowClients() {
    log::set_level(log::Level::kError);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~SlowClients() override { log::set_level(log::Level::kInfo); }

  /// A server that was started while the process was allowed so many descriptors.
  static std::unique_ptr<RunningServer> server_with_descriptors(rlim_t count) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const auto usual = limit.rlim_cur;
    limit.rlim_cur = count;
    setrlimit(RLIMIT_NOFILE, &limit);
    auto server = std::make_unique<RunningServer>();
    limit.rlim_cur = usual;
    setrlimit(RLIMIT_NOFILE, &limit);
    return server;
  }
};

TEST_F(SlowClients, SilentConnections) {
  RunningServer server;
  const Crowd crowd(server.port, 1000, [](SlowClient&) {});
  expect_ordinary_clients_are_served(server, "1,000 silent connections", crowd);
}

TEST_F(SlowClients, SlowHeads) {
  RunningServer server;
  const Crowd crowd(server.port, 500, &send_a_slow_head);
  expect_ordinary_clients_are_served(server, "500 slow heads", crowd);
}

TEST_F(SlowClients, SlowUploads) {
  RunningServer server;
  const Crowd crowd(server.port, 120, &upload_slowly);
  expect_ordinary_clients_are_served(server, "120 uploads of 80 KiB/s", crowd);
}

TEST_F(SlowClients, ClientsThatNeverRead) {
  RunningServer server;
  const Crowd crowd(server.port, 100, &ask_and_never_read);
  expect_ordinary_clients_are_served(server, "100 clients that never read", crowd);
}

TEST_F(SlowClients, ClientsThatNeverReadAndHaveNoKey) {
  RunningServer server({.api_keys = {"key"}});
  const Crowd crowd(server.port, 100, &ask_and_never_read);
  std::this_thread::sleep_for(1s);
  const auto slowest = seconds_of([&] { EXPECT_EQ(server.get("/health").status, 200); });
  std::printf("100 clients without a key that never read: /health %.1f ms\n", slowest * 1000);
  EXPECT_LT(slowest, kHealthP99Seconds);
}

TEST_F(SlowClients, ChunkExtensions) {
  RunningServer server({.max_waiting = 1});
  const Crowd crowd(server.port, 33, &send_extensions);
  expect_ordinary_clients_are_served(server, "33 connections with chunk extensions", crowd);
}

TEST_F(SlowClients, MoreConnectionsThanDescriptors) {
  for (const auto& [descriptors, connections] : {std::pair<rlim_t, std::size_t>{64, 90}, {1024, 1300}}) {
    const auto server = server_with_descriptors(descriptors);
    const Crowd crowd(server->port, connections, [](SlowClient&) {});
    expect_ordinary_clients_are_served(
        *server, concat(connections, " connections with ", descriptors, " descriptors").c_str(), crowd);
  }
}

TEST_F(SlowClients, ServerStopsInTime) {
  for (const auto& [name, behave] : {std::pair<const char*, Behaviour>{"uploads", &upload_slowly},
                                     {"clients that never read", &ask_and_never_read}}) {
    RunningServer server;
    const Crowd crowd(server.port, 20, behave);
    std::this_thread::sleep_for(1s);
    server.server->begin_shutdown();
    const auto seconds = seconds_of([&] { server.stop(); });
    std::printf("stop with 20 %s: %.1f s\n", name, seconds);
    EXPECT_LT(seconds, 3.0);
  }
}

}  // namespace
}  // namespace easel::test
