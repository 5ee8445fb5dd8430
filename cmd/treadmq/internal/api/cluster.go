package api

import (
	"context"
	"net/http"
)

// Cluster is the replicated group, as the member that is asked sees it.
func (c *Client) Cluster(ctx context.Context) (Item, error) {
	var item Item
	err := c.do(ctx, http.MethodGet, path("cluster"), nil, nil, &item)
	return item, err
}

// ChangeCluster asks for a change of the group (handover, voters or reseed) and returns
// the group as it is then.
func (c *Client) ChangeCluster(ctx context.Context, action string, body any) (Item, error) {
	var item Item
	err := c.do(ctx, http.MethodPost, path("cluster", action), nil, body, &item)
	return item, err
}
