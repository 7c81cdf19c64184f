// Access to the server: API keys, web origins, host names.
//
// easel often listens on a developer's own machine or network, where every web page that the developer visits can send
// requests to it. A browser says where a page came from (Origin) and by which name it reached the server (Host).
// Requests of a foreign origin are refused before anything is done for them. On a server without keys, so are those to
// a foreign name: a page can make its own name stand for the server's address (DNS rebinding), and is then of the same
// origin as the server. On a server with keys such a page fails because it does not know a key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/access/api_keys.h"
#include "http/access/principal.h"
#include "http/access/proxies.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// @param what  what is asked for, as a sentence begins, e.g. "A priority"
/// @throws HttpFailure(403)  the principal is not an operator
void check_operator(const Principal& principal, const char* what);

struct AccessRules {
  std::vector<std::string> allowed_origins = {};  ///< "*": all of them
  std::string own_host = {};                      ///< the name or address given to listen on
  std::vector<std::string> allowed_hosts = {};    ///< further names of this server, without ports
  std::vector<std::string> trusted_proxies = {};  ///< addresses, and blocks of addresses like 10.0.0.0/8
  std::string public_url = {};                    ///< ServerOptions::public_url
  bool local_operator = false;                    ///< on a server without keys, clients on its machine are operators
};

/// Thread-safe.
class Access {
 public:
  /// @param keys  must outlive it
  /// @throws Error(kInvalidArgument)  a trusted proxy is not an address or a block of addresses
  Access(AccessRules rules, ApiKeys& keys);

  /// @param address  that the connection comes from
  RequestSource source_of(const RequestHead& head, const std::string& address) const {
    return proxies_.source_of(head, address);
  }

  /// On a server without keys, the names by which it may be called are IP addresses, names that no public DNS server
  /// resolves (localhost, names without a dot, *.local, *.internal and similar ones), the host that it listens on, and
  /// the hosts that are allowed by themselves or with their origins.
  /// @throws HttpFailure(403)  the client called the server by another name
  void check_host(const RequestSource& source) const;
  /// @throws HttpFailure(403)  an Origin that is neither this server's own nor allowed. On loopback and without
  ///                           keys, every origin of this machine is allowed
  void check_origin(const RequestHead& head, const RequestSource& source) const;

  /// The principal of a request. Accepts `Authorization: Bearer KEY` (scheme in any case), `Authorization: Basic`
  /// with the key as the password and any user name, and Azure's `api-key: KEY`.
  ///
  /// On a server without keys a client is known by its address (IPv6: by its /64 network, since one machine has as many
  /// addresses in it as it likes). It is an operator if AccessRules::local_operator is set and it calls from this
  /// machine, by a local name, and not on behalf of another client, as a proxy does.
  /// @throws HttpFailure(401)  no key, or one that is not valid
  Principal identify(const RequestHead& head, const RequestSource& source) const;

  /// True for a browser's question whether it may send the actual request (CORS).
  static bool is_preflight(const RequestHead& head);
  Response preflight_response(const RequestHead& head) const;

  /// Lets the pages of an allowed origin read the response, whatever its status.
  void add_cors(const RequestHead& head, const RequestSource& source, Response& response) const;

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(const std::string& origin, const RequestSource& source) const;

  AccessRules rules_;
  TrustedProxies proxies_;
  ApiKeys& keys_;
};

}  // namespace easel::http
