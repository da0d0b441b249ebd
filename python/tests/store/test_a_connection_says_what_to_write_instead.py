"""What ``from_conn_string`` returns is no store, and says so to whoever takes it for one."""

import pytest

from vecmem import Store


@pytest.mark.parametrize("name", ["setup", "put", "search", "close"])
def test_it_says_with(name: str) -> None:
    connection = Store.from_conn_string(":memory:")
    with pytest.raises(AttributeError, match=rf"write `with Store.from_conn_string\(path\) as store: store.{name}"):
        getattr(connection, name)()
    with connection as store:
        store.setup()
        assert len(store) == 0
