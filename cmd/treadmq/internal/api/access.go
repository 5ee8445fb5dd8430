package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Tokens asks for the tokens of machines, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]Item, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("tokens"), nil, nil, &p)
	return p.Items, err
}

// MakeToken makes a token with a role; the answer's field token is the only one that has it.
func (c *Client) MakeToken(ctx context.Context, name, role string, days int) (item Item, err error) {
	err = c.do(ctx, http.MethodPost, path("tokens"), nil, map[string]any{"name": name, "role": role, "days": days}, &item)
	return item, err
}

// RevokeToken ends a token, by its id.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, path("tokens", id), nil, nil, nil)
}

// Links asks for the links that show a page, without their addresses.
func (c *Client) Links(ctx context.Context) ([]Item, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("links"), nil, nil, &p)
	return p.Items, err
}

// MakeLink makes a link to a page; the answer's field url is the only one that has it.
func (c *Client) MakeLink(ctx context.Context, page string, hours int, bodies bool) (item Item, err error) {
	err = c.do(ctx, http.MethodPost, path("links"), nil, map[string]any{"page": page, "hours": hours, "bodies": bodies}, &item)
	return item, err
}

// RevokeLink ends a link, by its id.
func (c *Client) RevokeLink(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, path("links", id), nil, nil, nil)
}

// RevokeLinks ends all links and tells how many there were.
func (c *Client) RevokeLinks(ctx context.Context) (n int64, err error) {
	var answer removal
	err = c.do(ctx, http.MethodDelete, path("links"), nil, nil, &answer)
	return answer.Removed, err
}

// Audit asks for the latest changes, newest first.
func (c *Client) Audit(ctx context.Context, most int) ([]Item, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("audit"), url.Values{"limit": {strconv.Itoa(most)}}, nil, &p)
	return p.Items, err
}

// Jobs asks for actions under way and ended, newest first.
func (c *Client) Jobs(ctx context.Context) ([]Item, error) {
	var p page
	err := c.do(ctx, http.MethodGet, path("jobs"), nil, nil, &p)
	return p.Items, err
}

// DeleteTopic forgets a topic that nobody is subscribed to.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, path("topics", name), nil, nil, nil)
}
