"""Operations: what has become of long work (contract C10)."""
