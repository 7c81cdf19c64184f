// Text from a request or a file, made safe for a log.
#pragma once

#include <string>
#include <string_view>

namespace easel {

/// `text` without anything that could start a new line, send commands to a terminal or change the order in which a line
/// is displayed. Control characters below U+0080 and bytes that are not UTF-8 are written as "\x1b"; U+0080 to U+009F,
/// the separators U+2028 and U+2029, and the bidirectional controls (Unicode Standard Annex 9) as "\u202e".
std::string visible_text(std::string_view text);

/// The same for JSON on one line, in which all of these characters are written as JSON's own escapes.
/// @param text  a serialized value in valid UTF-8
std::string visible_json(std::string_view text);

}  // namespace easel
