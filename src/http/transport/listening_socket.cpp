// Resolving, binding, listening.
#include "http/transport/listening_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "core/text.h"
#include "easel/error.h"

namespace easel::http {
namespace {

// As many as the kernel allows. A connection for which there is no room is tried again by the client's kernel after a
// second, so a crowd that connects at once must fit.
constexpr int kBacklog = SOMAXCONN;

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

// A negative result leaves the reason in errno.
int listening_socket(const addrinfo& address) {
  const int socket =
      ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (socket < 0) return -1;
  const int on = 1;
  // So that a restart need not wait for the last run's connections. SO_REUSEPORT would let a second server in.
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket, address.ai_addr, address.ai_addrlen) == 0 && ::listen(socket, kBacklog) == 0) return socket;
  const int reason = errno;
  ::close(socket);
  errno = reason;
  return -1;
}

// sin_port and sin6_port are at the same place.
int port_of(const sockaddr_storage& address) {
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

int ListeningSocket::bind(const std::string& host, int port) {
  const auto addresses = resolve(host, port);
  for (const auto* address = addresses.get(); address && socket_ < 0; address = address->ai_next) {
    socket_ = listening_socket(*address);
  }
  if (socket_ < 0) throw unavailable(host, port, std::strerror(errno));
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(socket_, reinterpret_cast<sockaddr*>(&bound), &length);
  return port_of(bound);
}

void ListeningSocket::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

}  // namespace easel::http
