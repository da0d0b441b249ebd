//! The name of the processor's model.

/// The model of the processor as it names itself, or `unknown`.
#[cfg(target_arch = "x86_64")]
pub(crate) fn processor_model() -> String {
    use std::arch::x86_64::__cpuid;

    /// The first of three leaves with the name, and the leaf that says which leaves there are.
    const NAME: u32 = 0x8000_0002;
    const LEAVES: u32 = 0x8000_0000;
    if __cpuid(LEAVES).eax < NAME + 2 {
        return "unknown".into();
    }
    let leaves = (NAME..NAME + 3).map(__cpuid);
    let bytes: Vec<u8> = leaves
        .flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The model of the processor as it names itself, or `unknown`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn processor_model() -> String {
    "unknown".into()
}
