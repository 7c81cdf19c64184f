// Who may call: API keys, web origins, host names.
//
// easel often listens on a developer's own machine, where every web page the developer visits can send requests to it.
// A browser tells where a page came from (Origin), and under which name it reached the server (Host): a foreign origin
// is refused before its request is acted upon, and so is a foreign name on loopback (DNS rebinding).
#pragma once

#include <string>
#include <vector>

#include "http/access/api_keys.h"
#include "http/access/principal.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// @param what  is asked for, as a sentence begins, e.g. "A priority"
/// @throws HttpFailure(403)  the caller is no operator
void check_operator(const Principal& principal, const char* what);

struct AccessRules {
  std::vector<std::string> allowed_origins = {};  ///< "*": all of them
  std::string own_host = {};                      ///< the name or address given to listen on
  bool loopback = false;                          ///< listening where only this machine can call
};

/// Thread-safe.
class Access {
 public:
  /// @param keys  must outlive it
  Access(AccessRules rules, ApiKeys& keys);

  /// @throws HttpFailure(403)  on loopback, a Host that is neither local nor the host of an allowed origin; or an
  /// Origin
  ///                           that is neither this server's own nor allowed
  void check_source(const RequestHead& head) const;

  /// Whose request it is. Accepts `Authorization: Bearer KEY` (scheme in any case) and Azure's `api-key: KEY`.
  ///
  /// Where no keys are asked for, a client is known by its address (IPv6: by its network, for one machine has as many
  /// addresses in it as it likes), and is an operator when it calls from this machine, by a local name, and not on
  /// behalf of somebody else, as a proxy does.
  /// @throws HttpFailure(401)  no key, or a wrong one
  Principal identify(const RequestHead& head, const std::string& address) const;

  /// True for a browser's question whether it may send the real request.
  static bool is_preflight(const RequestHead& head);
  Response preflight_response(const RequestHead& head) const;

  /// Lets the page of an allowed origin read the answer, whatever it is.
  void add_cors(const RequestHead& head, Response& response) const;

 private:
  bool host_allowed(const std::string& host) const;
  bool origin_allowed(const std::string& origin, const std::string& host) const;

  AccessRules rules_;
  ApiKeys& keys_;
};

}  // namespace easel::http
