/// The hash of a record's key: two keys of one log never share it (SipHash-2-4 with 128 bits of output, keyed).
pub(crate) type KeyHash = u128;

/// Hashes keys with a secret, so that nobody can make two keys that collide.
#[derive(Clone, Copy)]
pub(crate) struct KeyHasher {
    secret: (u64, u64),
}

impl KeyHasher {
    /// With this secret.
    pub(crate) fn new(secret: [u8; 16]) -> KeyHasher {
        KeyHasher {
            secret: (word(&secret[..8]), word(&secret[8..])),
        }
    }

    /// The hash of `key`.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let (k0, k1) = self.secret;
        let mut state = State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        };
        let chunks = key.chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            state.take(word(chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = key.len() as u8;
        state.take(u64::from_le_bytes(last));
        state.v2 ^= 0xee;
        let low = state.finish();
        state.v1 ^= 0xdd;
        let high = state.finish();
        u128::from(high) << 64 | u128::from(low)
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn take(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn finish(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes were cut off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation: key 00 01 .. 0f, input 00 01 .. of each length.
    #[test]
    fn hashes_are_those_of_the_reference() {
        let secret: [u8; 16] = std::array::from_fn(|index| index as u8);
        let hasher = KeyHasher::new(secret);
        let table: [(usize, u128); 3] = [
            (0, 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293),
            (1, 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45),
            (2, 0x8177_228d_a4a4_5dc7_fca3_8bde_f60a_ffe4),
        ];
        for (size, expected) in table {
            let input: Vec<u8> = (0..size as u8).collect();
            assert_eq!(hasher.hash(&input), expected.swap_bytes(), "{size} bytes");
        }
    }
}
