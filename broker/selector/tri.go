package selector

// Tri is a truth value of three-valued logic. The order False < Unknown < True makes AND the least and OR the greatest of
// its operands. JMS 1.1 section 3.8.1.2, tables 3-4 to 3-6.
type Tri uint8

const (
	// False is the truth value of what does not hold.
	False Tri = iota
	// Unknown is the truth value of what involves NULL.
	Unknown
	// True is the only truth value on which a message matches.
	True
)

// And returns FALSE if either is, else UNKNOWN if either is, else TRUE.
func (t Tri) And(u Tri) Tri { return min(t, u) }

// Or returns TRUE if either is, else UNKNOWN if either is, else FALSE.
func (t Tri) Or(u Tri) Tri { return max(t, u) }

// Not exchanges TRUE and FALSE and leaves UNKNOWN.
func (t Tri) Not() Tri { return True - t }

// String returns the truth value's name in capitals.
func (t Tri) String() string {
	switch t {
	case False:
		return "FALSE"
	case True:
		return "TRUE"
	}
	return "UNKNOWN"
}

func triOf(b bool) Tri {
	if b {
		return True
	}
	return False
}

// negateIf returns NOT t if negate is set: the NOT of NOT LIKE, NOT IN and NOT BETWEEN.
func (t Tri) negateIf(negate bool) Tri {
	if negate {
		return t.Not()
	}
	return t
}
