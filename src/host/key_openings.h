// Who can decrypt with a key, as far as its policy says: from which image, which packages, until when.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/key_view.h"

namespace cloister::host {

struct Opening {
  enum class Document { none, any_image, image };
  Document document = Document::none;
  NamedImage image;                     // of Document::image
  std::vector<std::string> principals;  // ARNs, or in words
  std::vector<std::string> names;       // of packages; empty: every one
  std::vector<std::string> releases;    // empty: every one
  std::vector<std::string> signers;     // fingerprints; empty: every one
  std::string until;                    // as the policy has it; empty: no end
  bool over = false;                    // that time has come
  std::vector<std::string> conditions;  // others that must hold, in words
  std::vector<std::string> statements;  // that open it
};

// now: what is over by then is told as over. Order: without a document, any image, then image by image.
std::vector<Opening> find_openings(const KeyView& view, sys::UnixMillis now);

}  // namespace cloister::host
