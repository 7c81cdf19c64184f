// Forms as clients write them.
#pragma once

#include <string>
#include <vector>

#include "core/text.h"

namespace easel::test {

inline constexpr char kBoundary[] = "xYzZY";

struct Part {
  std::string name;
  std::string content;
  bool is_file = false;
};

/// A body in the form that Python's and Node's clients send.
inline std::string form_text(const std::vector<Part>& parts) {
  std::string text;
  for (const auto& part : parts) {
    text.append("--").append(kBoundary).append("\r\nContent-Disposition: form-data; name=\"");
    text.append(part.name).append("\"");
    text += part.is_file ? "; filename=\"upload\"\r\nContent-Type: application/octet-stream\r\n\r\n" : "\r\n\r\n";
    text += part.content + "\r\n";
  }
  return text + "--" + kBoundary + "--\r\n";
}

inline std::string form_type() {
  return concat("multipart/form-data; boundary=", kBoundary);
}

}  // namespace easel::test
