package admin

import (
	"net/http"
	"slices"

	"treadmq/broker"
)

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
	permShare                     // links that show a page to whoever has them
)

// String is the permission's name in the API.
func (p permission) String() string {
	return [...]string{"public", "login", "view", "body", "send", "receive", "manage", "share"}[p]
}

// granted are the permissions of each role. This is the only place that says so.
func granted(role string) []permission {
	switch role {
	case RoleAdmin:
		return []permission{permView, permBody, permSend, permReceive, permShare, permManage}
	case RoleUser:
		return []permission{permView, permBody, permSend, permReceive, permShare}
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
	if slices.Contains(u.lacks, p) {
		return false
	}
	return u.granted(p)
}

// granted reports whether a role of the user grants a permission, whatever was taken away since.
func (u User) granted(p permission) bool {
	return slices.ContainsFunc(u.Roles, func(role string) bool { return slices.Contains(granted(role), p) })
}

// narrow takes away what the broker's authorization rules do not let the user do with a
// destination: read bodies, send. Who manages the broker is above them.
func (s *Server) narrow(r *http.Request, dests ...broker.Destination) *http.Request {
	u := userOf(r)
	if u.granted(permManage) {
		return r
	}
	for _, d := range dests {
		if !s.b.Allowed(u.Name, broker.RightRead, d) {
			u.lacks = append(u.lacks, permBody)
		}
		if !s.b.Allowed(u.Name, broker.RightWrite, d) {
			u.lacks = append(u.lacks, permSend)
		}
	}
	return withUser(r, u)
}
