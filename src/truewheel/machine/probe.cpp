// C++17 with threads and exceptions, in a shared library, as an engine's are: what a compiler brings along
// for it (zig builds its C++ library for each way of linking) is then the same in the trial and in the build.
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
extern "C" int probe(void) {
    std::optional<std::string> caught;
    std::thread worker([&] { try { throw std::runtime_error("fit"); } catch (const std::exception &e) { caught = e.what(); } });
    worker.join();
    return caught.value_or("") == "fit" ? 0 : 1;
}
