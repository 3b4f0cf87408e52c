/* The note by which the loader of glibc 2.33 and newer refuses a library on a CPU of a lesser level, in words:
   GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI, "Program Property"). Linked into every library of a wheel where the
   linker has no option for it. Under its usual name, .note.gnu.property, lld would drop it; the loader goes by the
   segment's type. */
    .section .note.isa, "a", @note
    .balign 8
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0008002, 4, LEVEL, 0
    .section .note.GNU-stack, "", @progbits
