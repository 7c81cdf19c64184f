#include "http/openai/link_base.h"

#include "core/text.h"

namespace easel::http {

std::string link_base(const ServerOptions& options, const RequestSource& source) {
  if (!options.public_url.empty()) {
    return options.public_url.substr(0, options.public_url.find_last_not_of('/') + 1);
  }
  return concat(source.https ? "https://" : "http://",
                source.host.empty() ? concat(options.host, ":", options.port) : source.host);
}

}  // namespace easel::http
