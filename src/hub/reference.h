// The names by which people ask for models.
#pragma once

#include <string>
#include <string_view>

namespace easel::hub {

/// A repository of the hub, or a part of it: ORG/NAME[/FOLDER][@REVISION][:FILE].
struct Reference {
  std::string repository;         ///< "ORG/NAME"
  std::string folder = {};        ///< in the repository; empty: its root
  std::string revision = "main";  ///< branch, tag or commit
  std::string file = {};          ///< in `folder`; empty: everything that a model needs

  /// The last part of the name, under which the model is stored.
  std::string name() const;
};

/// @throws Error(kInvalidArgument)  it is not written like a reference
Reference parse_reference(std::string_view text);

/// Whether a path from a server stays within the folder that it is joined to, and is not hidden: parts separated by
/// "/", none of them empty or beginning with a dot, without control characters, backslashes and colons.
bool is_safe_path(std::string_view path);

/// The reference to what a page of the hub shows, from the address in a browser: a repository, one of its folders
/// (".../tree/REVISION/FOLDER") or one of its files (".../blob/REVISION/FILE", or ".../resolve/REVISION/FILE", from
/// which a browser downloads it).
/// @param hub  the hub's address without a slash at its end
/// @return     empty where the address is not that of such a page
std::string reference_of_page(std::string_view address, std::string_view hub);

/// `text` with ASCII letters in lower case.
std::string lower_case(std::string_view text);

/// `text` with "%20" and the like as the bytes that they stand for. What is not two hexadecimal digits stays.
std::string unescape(std::string_view text);

/// `text` with every byte that is not allowed in a part of an address's path escaped; "/" is kept.
std::string escape_path(std::string_view text);

/// The same, with "/" escaped, too.
std::string escape_part(std::string_view text);

/// An address without what may be secret in it: user and password are left out, and the values of parameters such as
/// "token" become "***". Other text stays as it is.
std::string without_secrets(std::string_view address);

}  // namespace easel::hub
