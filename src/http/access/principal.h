// Who sends a request, as far as fairness, limits and rights are concerned.
#pragma once

#include <cstddef>
#include <string>

namespace easel::http {

struct Principal {
  std::string account = {};      ///< a key's name, or the client's address where no keys are asked for
  double share = 1.0;            ///< of the device, against other accounts' shares
  std::size_t max_requests = 0;  ///< image requests without an answer at a time; 0: no limit of its own
  bool is_operator = false;      ///< may load and unload models and give its requests a priority
};

}  // namespace easel::http
