Feature: Carts
  A customer gathers what she means to buy. What is in her cart is ordered once, at the prices that she was shown.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And the shop has 5 bottles of ink at 3.00 EUR each
    And a customer has put 2 fountain pens into her cart

  Rule: What is in the cart is ordered once

    Scenario: She orders her cart
      When she puts 1 bottle of ink into her cart
      And she orders her cart
      Then its total is 28.00 EUR
      And her cart is empty

    Scenario: Her request arrives twice
      When she orders her cart under the key "monday"
      And she puts 1 bottle of ink into her cart
      And she orders her cart under the key "monday"
      Then she is told the same as before
      And she has 1 order
      And her cart has 1 bottle of ink

    Scenario: There is nothing left to order
      Given she has ordered her cart
      When she orders her cart
      Then that is refused: cart empty
      And she has 1 order

  Rule: She pays the price that she was shown, or is told of another

    Scenario: The price rises while it is in her cart
      Given the shop sells fountain pens at 15.00 EUR from now on
      When she orders her cart
      Then that is refused: price changed
      And her cart has 2 fountain pens

    Scenario: She takes the new price
      Given the shop sells fountain pens at 15.00 EUR from now on
      When she puts 2 fountain pens into her cart
      And she orders her cart
      Then its total is 30.00 EUR
