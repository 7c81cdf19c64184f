// The sender of a request, for fairness, limits and rights.
#pragma once

#include <cstddef>
#include <string>

namespace easel::http {

struct Principal {
  std::string account = {};      ///< a key's name; on a server without keys the client's address
  double share = 1.0;            ///< of the device's time, relative to other accounts' shares
  std::size_t max_requests = 0;  ///< image requests that may wait or run at a time; 0: no limit of its own
  bool is_operator = false;      ///< may load and unload models, and set the priority of its requests
};

}  // namespace easel::http
