package main

import (
	"treadmq/admin"
	"treadmq/broker"
	"treadmq/conf"
	"treadmq/notice"
)

// What the console shows of the configuration and the realm, read-only.

// rules are the policies of the configuration that is in force.
func (n *node) rules() []admin.PolicyRule {
	list := []admin.PolicyRule{}
	for _, r := range n.inForce.Load().Policies {
		rule := admin.PolicyRule{Kind: string(r.Kind), Pattern: r.Pattern, Where: r.Where, Settings: []admin.PolicySetting{}}
		for _, s := range r.Settings() {
			rule.Settings = append(rule.Settings, admin.PolicySetting(s))
		}
		list = append(list, rule)
	}
	return list
}

// settings is what holds for a destination and where it comes from.
func (n *node) settings(d broker.Destination) []admin.PolicySetting {
	kind := conf.Queue
	if !d.Kind.IsQueue() {
		kind = conf.Topic
	}
	list := []admin.PolicySetting{}
	for _, s := range n.inForce.Load().Policies.Match(kind, d.Name).Settings(kind) {
		list = append(list, admin.PolicySetting(s))
	}
	return list
}

// configEntries are the keys of the configuration; it holds no secrets.
func (n *node) configEntries() []admin.ConfigEntry {
	list := []admin.ConfigEntry{}
	for _, e := range n.inForce.Load().Keys() {
		list = append(list, admin.ConfigEntry{Key: e.Key, Value: e.Value, Default: e.Default, Origin: e.Origin.String(), Doc: e.Doc})
	}
	return list
}

// Users implements admin.UserLister.
func (u webUsers) Users() []admin.UserInfo {
	weak := map[string]notice.Notice{}
	for _, w := range u.realm.Weak() {
		weak[w.User] = w.Text
	}
	list := []admin.UserInfo{}
	for _, x := range u.realm.Users() {
		roles := x.Roles
		if roles == nil {
			roles = []string{}
		}
		list = append(list, admin.UserInfo{Name: x.Name, Roles: roles, Weak: weak[x.Name]})
	}
	return list
}

// Problems implements admin.UserLister.
func (u webUsers) Problems() []notice.Notice {
	list := []notice.Notice{}
	for _, p := range u.realm.Problems() {
		list = append(list, p.Notice())
	}
	return list
}
