// What STS answers: XML of a few known shapes, read strictly. Internal to the room.
#pragma once

#include <functional>
#include <string_view>

#include "http/message.h"
#include "kms/credentials.h"
#include "kms/service_error.h"

namespace cloister::kms {

inline constexpr std::size_t kMaxXmlDepth = 8;       // nested elements
inline constexpr std::size_t kMaxXmlElements = 128;  // of one answer
inline constexpr std::size_t kMaxXmlName = 64;       // bytes

// Calls `leaf` for every element without children: its path ("a/b/c") and its text, references resolved. Both
// die with the call. corrupt: anything but elements, attributes, text and one declaration at the beginning: a
// document type, comments, CDATA and processing instructions are no part of STS's answers.
using XmlLeaf = std::function<void(std::string_view path, std::string_view text)>;
Status visit_xml(std::string_view xml, const XmlLeaf& leaf);

// {operation}Response/{operation}Result/Credentials. corrupt: a member is missing, there twice or malformed.
Result<Credentials> parse_sts_credentials(std::string_view operation, std::string_view xml);
// GetCallerIdentityResponse/GetCallerIdentityResult/Arn.
Result<std::string> parse_caller_arn(std::string_view xml);
// ErrorResponse/Error, of an answer that is not 2xx. Never fails: a body that says nothing leaves the status.
ServiceError parse_sts_error(const http::Response& response);

}  // namespace cloister::kms
