// The socket on which a server accepts connections.
#pragma once

#include <string>

namespace easel::http {

/// Closed when destroyed.
class ListeningSocket {
 public:
  ListeningSocket() = default;
  ~ListeningSocket() { close(); }
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  /// Listens on a name or an address; call once.
  /// @param port  0: any free port
  /// @return the port listened on
  /// @throws Error(kUnavailable)  the address cannot be taken
  int bind(const std::string& host, int port);
  /// From now on clients that connect are refused instead of kept waiting.
  void close();

  /// Non-blocking; negative once closed.
  int descriptor() const { return socket_; }

 private:
  int socket_ = -1;
};

}  // namespace easel::http
