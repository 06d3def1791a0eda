// The known word nearest to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace convoy {

// "; did you mean 'epochs'?", or nothing where no known word is near.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

}  // namespace convoy
