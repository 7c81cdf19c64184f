// easel health: asks the server on this machine whether it is ready, for the health checks of containers.
#include <chrono>
#include <cstdio>

#include "app/command_line/commands.h"
#include "app/command_line/format.h"
#include "http/transport/probe.h"

namespace easel {

int check_health(const Options& options) {
  constexpr std::chrono::seconds kTimeout{4};
  const int status = http::status_of(options.server.host, options.server.port, "/ready", kTimeout);
  constexpr int kOk = 200;
  if (status == kOk) {
    std::printf("ready: http://%s:%d\n", url_host(options.server.host).c_str(), options.server.port);
  } else {
    std::printf("not ready: status %d\n", status);
  }
  return status == kOk ? 0 : 1;
}

}  // namespace easel
