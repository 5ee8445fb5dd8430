package admin

import "slices"

// Roles of the realm file that mean something to the console.
const (
	RoleAdmin  = "admin"  // everything
	RoleUser   = "user"   // looks, reads messages, sends
	RoleViewer = "viewer" // looks; sees no bodies of messages
)

// permission is what a route asks for.
type permission uint8

const (
	permPublic  permission = iota // no login
	permLogin                     // any login, even without a role
	permView                      // figures, names, headers
	permBody                      // bodies of messages
	permSend                      // messages in
	permReceive                   // messages out: those that are consumed
	permManage                    // create, purge, delete, close
)

// String is the permission's name in the API.
func (p permission) String() string {
	return [...]string{"public", "login", "view", "body", "send", "receive", "manage"}[p]
}

// granted are the permissions of each role. This is the only place that says so.
func granted(role string) []permission {
	switch role {
	case RoleAdmin:
		return []permission{permView, permBody, permSend, permReceive, permManage}
	case RoleUser:
		return []permission{permView, permBody, permSend, permReceive}
	case RoleViewer:
		return []permission{permView}
	}
	return nil
}

// may reports whether the user's roles grant a permission.
func (u User) may(p permission) bool {
	if p == permPublic {
		return true
	}
	if u.Name == "" {
		return false
	}
	if p == permLogin {
		return true
	}
	for _, role := range u.Roles {
		if slices.Contains(granted(role), p) {
			return true
		}
	}
	return false
}
