// Forms as clients write them, split at every byte, and malformed forms.
#include "http/transport/multipart.h"

#include <gtest/gtest.h>

#include "http/support/form_text.h"
#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

using test::form_text;
using test::kBoundary;

bool is_file(std::string_view name) {
  return name == "image";
}

constexpr FormLimits kLimits{
    .max_parts = 4, .max_header_bytes = 200, .max_text_bytes = 100, .max_file_bytes = 300, .is_file = &is_file};

std::vector<FormPart> read_form(const std::string& text, std::size_t piece = std::string::npos,
                                const FormLimits& limits = kLimits) {
  MultipartReader reader(kBoundary, limits);
  for (std::size_t at = 0; at < text.size(); at += std::min(piece, text.size() - at)) {
    reader.feed(std::string_view(text).substr(at, piece));
  }
  return reader.finish();
}

ProtocolError::Reason form_refusal(const std::string& text) {
  try {
    read_form(text);
  } catch (const ProtocolError& failure) {
    return failure.reason();
  }
  return {.status = 0};
}

std::string with_header(const std::string& header) {
  return std::string("--") + kBoundary + "\r\n" + header + "\r\n\r\nv\r\n--" + kBoundary + "--";
}

TEST(Multipart, PartsKeepTheirOrderAcrossAnySplit) {
  using std::string_literals::operator""s;
  // Near misses of the boundary, and a NUL.
  const auto odd = "\r\n--xYzZ\r\n--\r\n-\r\n\r\n--xYz\0ZY--xYzZY\r\n\r\n--xYzZ"s;
  const auto text = form_text({{"prompt", "a cat"}, {"image", odd, true}, {"n", ""}, {"image", "\r\n", true}});
  for (std::size_t piece = 1; piece < 80; ++piece) {
    const auto parts = read_form(text, piece);
    ASSERT_EQ(parts.size(), 4u) << piece;
    EXPECT_EQ(parts[0].name, "prompt");
    EXPECT_EQ(parts[0].content, "a cat");
    EXPECT_EQ(parts[1].content, odd) << piece;
    EXPECT_EQ(parts[2].content, "");
    EXPECT_EQ(parts[3].content, "\r\n");
  }
}

TEST(Multipart, ALineThatOnlyBeginsWithTheBoundaryIsContent) {
  const std::string line = std::string("\r\n--") + kBoundary;
  const auto content = "a" + line + "9" + line + "- b" + line + "\r c\r\n";
  const auto text =
      "--" + std::string(kBoundary) + "in the preamble\r\n" + form_text({{"image", content, true}, {"n", "1"}});
  for (std::size_t piece = 1; piece < 80; ++piece) {
    const auto parts = read_form(text, piece);
    ASSERT_EQ(parts.size(), 2u) << piece;
    EXPECT_EQ(parts[0].content, content) << piece;
    EXPECT_EQ(parts[1].content, "1");
  }
}

TEST(Multipart, PreambleEpilogueAndPaddingAreDropped) {
  const auto body = std::string("This is a form.\r\n\r\n--") + kBoundary +
                    " \t \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--" + kBoundary +
                    "--\r\n\r\nand --" + kBoundary + " more\r\n";
  const auto parts = read_form(body);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].content, "1");
  EXPECT_EQ(read_form(body, 1).size(), 1u);
  EXPECT_TRUE(read_form(std::string("--") + kBoundary + "--").empty());
}

TEST(Multipart, PartNamesAcceptEveryClientQuoting) {
  const std::pair<const char*, const char*> headers[] = {
      {"Content-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png", "image"},
      {"content-disposition:form-data;name=image", "image"},
      {"Content-Disposition: Form-Data; NAME='image'; filename*=UTF-8''a%20b.png", "image"},
      {"Content-Disposition: form-data; filename=\"semi;colon=\\\"x\\\".png\"; name=\"image\"", "image"},
      {"Content-Disposition: form-data; filename=my image.png; name=\"image\"", "image"},
      {"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"a b\"", "a b"},
      {"Content-Disposition: form-data; name=\"q%22q%0D%0A\"", "q\"q\r\n"},
      {"Content-Disposition: form-data; name=\"q\\\"q\\\\d\\e\"", "q\"q\\d\\e"},
      {"Content-Disposition: form-data; name=\"caf\xc3\xa9\"", "caf\xc3\xa9"},
      {"Content-Disposition: form-data; name=\"image[]\";", "image[]"},
      {"Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: BINARY\r\nX-Else: y", "a"}};
  for (const auto& [header, name] : headers) {
    const auto parts = read_form(with_header(header));
    ASSERT_EQ(parts.size(), 1u) << header;
    EXPECT_EQ(parts[0].name, name) << header;
    EXPECT_EQ(parts[0].content, "v");
  }
}

TEST(Multipart, MalformedFormsReturn400) {
  const std::string bodies[] = {
      "",
      "no boundary at all",
      "--other\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--other--",
      form_text({{"a", "1"}}).substr(0, 40),
      std::string("--") + kBoundary,
      std::string("--") + kBoundary + "\r\n",
      std::string("--") + kBoundary + "\n",
      std::string("--") + kBoundary + "x\r\n",
      std::string("--") + kBoundary + std::string(300, ' ') + "\r\n",
      std::string("--") + kBoundary + "\r\n\r\nno header\r\n--" + kBoundary + "--",
      with_header("Content-Type: text/plain"),
      with_header("Content-Disposition: form-data"),
      with_header("Content-Disposition: form-data; name=\"\""),
      with_header("Content-Disposition: attachment; name=\"a\""),
      with_header("Content-Disposition: form-data; name"),
      with_header("Content-Disposition: form-data; name=\"a"),
      with_header("Content-Disposition: form-data; name=\"a\\\""),
      with_header("Content-Disposition: form-data; name=\"a\"b"),
      with_header("Content-Disposition: form-data; name=a; name=b"),
      with_header("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"),
      with_header("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"),
      with_header("no colon"),
      with_header("Content-Disposition: form-data; name=a\r\n folded"),
      form_text({{"a", "1"}, {"b", ""}, {"c", ""}, {"d", ""}, {"e", ""}})};
  for (const auto& body : bodies) {
    const auto error = form_refusal(body);
    EXPECT_EQ(error.status, 400) << body;
    EXPECT_FALSE(error.message.empty());
  }
  EXPECT_EQ(
      form_refusal(with_header("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64")).part,
      "a");
}

TEST(Multipart, EveryLimitIsEnforced) {
  EXPECT_EQ(form_refusal(form_text({{"a", std::string(60, 'x')}, {"b", std::string(40, 'x')}})).status, 0);
  const auto texts = form_refusal(form_text({{"a", std::string(60, 'x')}, {"b", std::string(41, 'x')}}));
  EXPECT_EQ(texts.status, 413);
  EXPECT_EQ(texts.part, "b");
  EXPECT_EQ(form_refusal(form_text({{"image", std::string(300, 'x'), true}})).status, 0);
  const auto file = form_refusal(form_text({{"image", std::string(301, 'x'), true}}));
  EXPECT_EQ(file.status, 413);
  EXPECT_EQ(file.part, "image");
  const auto long_name = [](std::size_t size) {
    return with_header("Content-Disposition: form-data; name=\"" + std::string(size, 'x') + "\"");
  };
  EXPECT_EQ(form_refusal(long_name(150)).status, 0);
  EXPECT_EQ(form_refusal(long_name(180)).status, 400);
  // The reader does not wait for the end of a header that is too long.
  MultipartReader reader(kBoundary, kLimits);
  reader.feed(std::string("--") + kBoundary + "\r\n");
  EXPECT_THROW(reader.feed(std::string(500, 'x')), ProtocolError);
}

TEST(Multipart, BoundaryIsReadFromTheContentType) {
  EXPECT_EQ(form_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(form_boundary("Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a=b c\""), "a=b c");
  EXPECT_EQ(form_boundary("multipart/form-data; boundary=----formdata-undici-012345678901"),
            "----formdata-undici-012345678901");
  EXPECT_EQ(form_boundary("multipart/form-data; boundary=" + std::string(70, 'x')), std::string(70, 'x'));
  for (const char* other :
       {"application/json", "", "multipart/mixed; boundary=a", "multipart/form-dataX; boundary=a"}) {
    EXPECT_EQ(form_boundary(other), std::nullopt) << other;
  }
  for (const std::string& bad :
       {std::string("multipart/form-data"), std::string("multipart/form-data; boundary="),
        std::string("multipart/form-data; boundary=\"\""), "multipart/form-data; boundary=" + std::string(71, 'x'),
        std::string("multipart/form-data; boundary=a\x01"), std::string("multipart/form-data; boundary=\"a \""),
        std::string("multipart/form-data; boundary=a; boundary=b"), std::string("multipart/form-data; boundary=\"a")}) {
    EXPECT_THROW(form_boundary(bad), ProtocolError) << bad;
  }
}

}  // namespace
}  // namespace easel::http
