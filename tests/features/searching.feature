Feature: Searching for orders
  Whoever searches finds an order as soon as it has been placed, and as it is now.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And the shop has 9 bottles of ink at 3.00 EUR each
    And a customer has ordered 2 fountain pens

  Rule: All that is searched for must hold

    Scenario: By product
      When she orders 1 bottle of ink
      Then 1 of her orders has bottles of ink
      And 1 of her orders has fountain pens

    Scenario: By status
      When she pays
      Then 1 of her orders is paid
      And none of her orders is pending

    Scenario: By its total
      When she orders 1 bottle of ink
      Then 1 of her orders costs 20.00 EUR or more

  Rule: What was deleted is found no more

    Scenario: An order is deleted
      When the shop deletes her order
      Then none of her orders has fountain pens
