// Access to the server: API keys, web origins, host names.
//
// easel often listens on a developer's own machine, where every web page that the developer visits can send requests to
// it. A browser says where a page came from (Origin) and by which name it reached the server (Host). Requests of a
// foreign origin are refused before anything is done for them, and so are those to a foreign name on loopback (DNS
// rebinding).
#pragma once

#include <string>
#include <vector>

#include "http/access/api_keys.h"
#include "http/access/principal.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// @param what  what is asked for, as a sentence begins, e.g. "A priority"
/// @throws HttpFailure(403)  the principal is not an operator
void check_operator(const Principal& principal, const char* what);

struct AccessRules {
  std::vector<std::string> allowed_origins = {};  ///< "*": all of them
  std::string own_host = {};                      ///< the name or address given to listen on
  bool loopback = false;                          ///< only this machine can reach the address listened on
};

/// Thread-safe, set_loopback() excepted.
class Access {
 public:
  /// @param keys  must outlive it
  Access(AccessRules rules, ApiKeys& keys);

  /// Replaces AccessRules::loopback: it is known only once the server listens. Call it before the first request.
  void set_loopback(bool loopback) { rules_.loopback = loopback; }

  /// @throws HttpFailure(403)  on loopback: a Host that is neither local nor the host of an allowed origin; everywhere:
  ///                           an Origin that is neither this server's own nor allowed. On loopback and without keys,
  ///                           every origin of this machine is allowed
  void check_source(const RequestHead& head) const;

  /// The principal of a request. Accepts `Authorization: Bearer KEY` (scheme in any case), `Authorization: Basic`
  /// with the key as the password and any user name, and Azure's `api-key: KEY`.
  ///
  /// On a server without keys a client is known by its address (IPv6: by its /64 network, since one machine has as many
  /// addresses in it as it likes). It is an operator when it calls from this machine, by a local name, and not on
  /// behalf of another client, as a proxy does.
  /// @throws HttpFailure(401)  no key, or one that is not valid
  Principal identify(const RequestHead& head, const std::string& address) const;

  /// True for a browser's question whether it may send the actual request (CORS).
  static bool is_preflight(const RequestHead& head);
  Response preflight_response(const RequestHead& head) const;

  /// Lets the pages of an allowed origin read the response, whatever its status.
  void add_cors(const RequestHead& head, Response& response) const;

 private:
  bool host_allowed(const std::string& host) const;
  bool origin_allowed(const std::string& origin, const std::string& host) const;

  AccessRules rules_;
  ApiKeys& keys_;
};

}  // namespace easel::http
